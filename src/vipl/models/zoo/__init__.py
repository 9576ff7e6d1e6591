"""Encoders that others have trained, each with its own preprocessing: `encoders.yaml`."""

from vipl.models.zoo.build import build, load, weights_file
from vipl.models.zoo.entry import VARIABLE, Entry, entries, find

__all__ = ["VARIABLE", "Entry", "build", "entries", "find", "load", "weights_file"]
