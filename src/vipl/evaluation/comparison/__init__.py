"""Evaluations side by side, over the cells that they share: `vipl compare`."""
