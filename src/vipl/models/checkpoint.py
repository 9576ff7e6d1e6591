"""Encoders on disk: a folder of `config.json` and `model.safetensors`, or a training checkpoint.

Nothing here unpickles: a checkpoint is read by `torch.load(weights_only=True)`.
"""

import difflib
import errno
import json
import pickle
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from timm.data.config import resolve_data_config
from torch import Tensor

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.encoder import Encoder

CHECKPOINT_KEY = "vipl_encoder"
"""Where a training checkpoint keeps the configuration of its encoder."""

_PREFIX = "encoder."


def save_encoder(encoder: Encoder, folder: str | Path) -> Path:
    """Write an encoder as `config.json` and `model.safetensors`; return the folder."""
    folder = Path(folder)
    weights = {name: value.cpu().contiguous() for name, value in encoder.state_dict().items()}
    content = safetensors.torch.save(weights)
    write_atomically(folder / "model.safetensors", lambda path: path.write_bytes(content))
    text = json.dumps({"format": "vipl-encoder", "version": 1, **encoder.config}, indent=2) + "\n"
    write_atomically(folder / "config.json", lambda path: path.write_text(text))
    return folder


def load_encoder(source: str | Path, device: str | torch.device = "cpu") -> Encoder:
    """Load an encoder, in evaluation mode and without gradients.

    Args:
        source: A folder that `save_encoder` wrote; the folder of a run; a checkpoint file
            (`.ckpt`) of a run; or `timm:NAME`, timm's model with its own preprocessing and
            weights, `timm:NAME?pretrained=false` with random ones.
        device: Where to put it.

    Raises:
        UserError: If the source is none of these, or does not fit.
    """
    text = str(source)
    if text.startswith("timm:"):
        encoder = _from_timm(text.removeprefix("timm:"))
    elif Path(source).is_dir():
        encoder = _from_folder(Path(source))
    elif Path(source).is_file():
        encoder = _from_checkpoint(Path(source))
    else:
        raise UserError(_no_such_source(text))
    return encoder.to(device).eval().requires_grad_(False)


def _from_folder(folder: Path) -> Encoder:
    if not (folder / "config.json").is_file() and (folder / "encoder" / "config.json").is_file():
        folder = folder / "encoder"
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise UserError(f"{folder} is not an encoder's folder: it holds no {file.name}")
    try:
        config = json.loads(config_file.read_text())
        if not isinstance(config, dict) or config.pop("format", None) != "vipl-encoder":
            raise ValueError("it does not say 'format': 'vipl-encoder'")
        config.pop("version", None)
        weights = safetensors.torch.load_file(weights_file)
    except (ValueError, SafetensorError) as error:
        raise UserError(f"{folder} is not an encoder that vipl can read: {error}") from error
    return _build(config, weights, folder)


def _from_checkpoint(path: Path) -> Encoder:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk, not of the content
        raise UserError(f"{path} {_unreadable(str(error))}") from error
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise UserError(f"{path} is not a checkpoint of `vipl fit`: it names no encoder")
    weights = {
        name.removeprefix(_PREFIX): value
        for name, value in content["state_dict"].items()
        if name.startswith(_PREFIX)
    }
    return _build(content[CHECKPOINT_KEY], weights, path)


def _unreadable(message: str) -> str:
    """Say why torch refused a file, without its advice to load the file unsafely."""
    pickled = re.search(r"(?:global|GLOBAL):?(?: GLOBAL)? ([\w.]+)", message)
    if pickled:
        return f"holds a pickled object ({pickled[1]}): only tensors and plain values are read"
    return "is not a checkpoint: torch cannot read it, so it is of another kind or torn"


def _from_timm(spec: str) -> Encoder:
    name, _, query = spec.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    pretrained = options.pop("pretrained", "true")
    if options or pretrained not in ("true", "false"):
        raise UserError(f"timm:{spec}: expected timm:NAME or timm:NAME?pretrained=false")
    if not timm.is_model(name):
        return Encoder(name)  # says which names are near
    data = _data_config(name)
    return Encoder(
        name,
        output_dim=0,
        image_size=data["input_size"][-1],
        central_fraction=data["crop_pct"],
        interpolation="bicubic" if data["interpolation"] == "bicubic" else "bilinear",
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        pretrained=pretrained == "true",
    )


def _data_config(name: str) -> dict[str, Any]:
    found = timm.get_pretrained_cfg(name)
    pretrained_cfg = {} if found is None else asdict(found)
    resolved: dict[str, Any] = resolve_data_config({}, pretrained_cfg=pretrained_cfg)  # type: ignore[no-untyped-call]
    return resolved


def _build(config: Mapping[str, Any], weights: Mapping[str, Tensor], source: Path) -> Encoder:
    arguments = {**config, "pretrained": False}
    try:
        encoder = Encoder(**arguments)
        encoder.load_state_dict(weights)
    except (TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{source}: weights and configuration do not fit: {reason}") from error
    return encoder


def _no_such_source(source: str) -> str:
    forms = "expected a folder, a checkpoint file, or timm:NAME"
    if timm.is_model(source):
        return f"there is no encoder {source!r}: did you mean timm:{source}? ({forms})"
    near = [] if "/" in source else difflib.get_close_matches(source, timm.list_models(), n=3)
    near += [str(path) for path in _near_paths(Path(source))]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no encoder {source!r}: {forms}{hint}"


def _near_paths(path: Path) -> list[Path]:
    if not path.parent.is_dir():
        return []
    names = [entry.name for entry in path.parent.iterdir()]
    return [path.parent / name for name in difflib.get_close_matches(path.name, names, n=3)]
