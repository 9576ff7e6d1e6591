"""The configurations, recipes and studies that ship: by name, wherever the package is."""

from vipl.shipped.names import KINDS, Kind, Shipped, find, hint, list_shipped, resolve

__all__ = ["KINDS", "Kind", "Shipped", "find", "hint", "list_shipped", "resolve"]
