"""Data sets in their own layouts, turned into clips: one source a file."""
