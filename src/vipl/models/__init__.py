"""Encoders: building, saving, loading."""

from vipl.models.checkpoint import load_encoder, save_encoder
from vipl.models.encoder import Encoder

__all__ = ["Encoder", "load_encoder", "save_encoder"]
