"""`vipl compare`: several runs over the cells that they share."""
