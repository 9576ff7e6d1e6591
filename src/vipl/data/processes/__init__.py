"""Decoding in processes of its own, which may hang or crash without harm."""
