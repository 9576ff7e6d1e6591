"""Encoders: building, saving, loading."""

from vipl.processes.llvm import keep_apart

keep_apart()  # before torchvision and timm are imported: something may have drawn already

from vipl.models.checkpoint import load_encoder, save_encoder  # noqa: E402
from vipl.models.encoder import Encoder  # noqa: E402

__all__ = ["Encoder", "load_encoder", "save_encoder"]
