"""The version, alone in a file so that the build reads it without importing vipl."""

__version__ = "0.2.0"
