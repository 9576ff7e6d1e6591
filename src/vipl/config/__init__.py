"""Configurations: files, keys and paths that users write, composed and explained."""
