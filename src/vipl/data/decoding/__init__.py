"""Frames out of files: videos, folders and archives of pictures, as a player shows them."""
