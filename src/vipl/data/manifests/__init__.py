"""Manifests: the table of clips, its rules, its files, its splits and recipes."""
