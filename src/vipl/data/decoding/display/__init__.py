"""How pictures are shown: upright, of square pixels, over black, in ordinary range."""
