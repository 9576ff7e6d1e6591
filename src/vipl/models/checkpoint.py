"""Encoders on disk: a folder of `config.json` and `model.safetensors`, or a training checkpoint.

Nothing here unpickles: a checkpoint is read by `torch.load(weights_only=True)`.
"""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import safetensors.torch
import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor

from vipl.config.paths import expand
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models import hub, zoo
from vipl.models.configuration import (
    FORMAT,
    VERSION,
    build_encoder,
    check_configuration,
    read_configuration,
)
from vipl.models.encoder import Encoder
from vipl.models.finite import check_weights
from vipl.models.header import check_header, read_header
from vipl.models.network import check_name
from vipl.models.weights import read_weights, select

CHECKPOINT_KEY = "vipl_encoder"
"""Where a training checkpoint keeps the configuration of its encoder."""

_PREFIX = "encoder."

_OWN_NETWORK = (
    f", and those of a network of your own with an entry in a file that {zoo.VARIABLE} names, see "
    "docs/how-to/released_encoders.md"
)

_OF_THE_NETWORK = ("backbone", "output_dim", "output_scale", "mean", "std", "network_args")
"""Keys of an encoder's configuration; where they differ, weights mean something else."""


def save_encoder(
    encoder: Encoder, folder: str | Path, *, weights: Mapping[str, Tensor] | None = None
) -> Path:
    """Write an encoder as `config.json` and `model.safetensors`; return the folder.

    Args:
        encoder: What is written.
        folder: Where to.
        weights: In place of those that the encoder has now.

    Raises:
        UserError: If its weights are not finite: nothing is written.
    """
    folder = Path(folder)
    weights = encoder.state_dict() if weights is None else weights
    check_weights(weights, "the encoder to be written")
    content = safetensors.torch.save(
        {name: one.cpu().contiguous() for name, one in weights.items()}
    )
    write_atomically(folder / "model.safetensors", lambda path: path.write_bytes(content))
    text = json.dumps({"format": FORMAT, "version": VERSION, **encoder.config}, indent=2) + "\n"
    write_atomically(folder / "config.json", lambda path: path.write_text(text))
    return folder


def load_encoder(
    source: str | Path,
    device: str | torch.device = "cpu",
    *,
    weights: str | Path | None = None,
) -> Encoder:
    """Load an encoder, in evaluation mode and without gradients.

    Args:
        source: The name of a released encoder (`vipl encoders` lists them), whose weights are
            downloaded once; a folder that `save_encoder` wrote; the folder of a run; a checkpoint
            file (`.ckpt`) of a run; `timm:NAME`, timm's model with its own preprocessing and
            weights; `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, one that `vipl push` sent to a
            Hugging Face hub; or `random:NAME`, a released encoder or a model of timm's with
            random weights.
        device: Where to put it.
        weights: Of a released encoder: a file that you have, in place of the download.

    Raises:
        UserError: If the source is none of these, or does not fit, or weights cannot be had or
            are not finite.
    """
    text = expand(str(source), "the encoder")
    if weights is not None and text not in zoo.entries():
        raise UserError(
            f"weights go with a released encoder, which {text!r} is not: see `vipl encoders`"
        )
    if text in zoo.entries():
        encoder = zoo.load(text, zoo.find(text), None if weights is None else Path(weights))
    elif text.startswith("random:"):
        encoder = _untrained(text.removeprefix("random:"))
    elif text.startswith("timm:"):
        encoder = _from_timm(text.removeprefix("timm:"))
    elif text.startswith(hub.PREFIX):
        name, _, revision = text.removeprefix(hub.PREFIX).partition("@")
        encoder = _from_folder(hub.download(name, revision=revision or None))
    elif Path(text).is_dir():
        encoder = _from_folder(Path(text))
    elif Path(text).is_file():
        encoder = _from_checkpoint(Path(text))
    else:
        raise UserError(_no_such_source(text))
    check_weights(encoder.state_dict(), source)
    return encoder.to(device).eval().requires_grad_(False)


def start_from(encoder: Encoder, source: str | Path) -> None:
    """Give an encoder the weights of another, which is to be the same network.

    Args:
        encoder: What is to be trained.
        source: As `load_encoder` takes it. Its images may have another size.

    Raises:
        UserError: If there is no such encoder, or it is another network; it says in what.
    """
    found = load_encoder(source)
    different = [
        f"{name} {json.dumps(encoder.config[name])} and not {json.dumps(found.config[name])}"
        for name in _OF_THE_NETWORK
        if encoder.config[name] != found.config[name]
    ]
    if different:
        raise UserError(
            f"{source} is not the network that is to start from it: model.encoder has "
            f"{', '.join(different)}"
        )
    try:
        encoder.load_state_dict(found.state_dict())
    except RuntimeError as error:  # of networks whose weights depend on the images' size
        raise UserError(f"{source}: weights do not fit model.encoder: {_reason(error)}") from error


def _from_folder(folder: Path) -> Encoder:
    if not (folder / "config.json").is_file() and (folder / "encoder" / "config.json").is_file():
        folder = folder / "encoder"
    config_file, weights_file = folder / "config.json", folder / "model.safetensors"
    for file in (config_file, weights_file):
        if not file.is_file():
            raise UserError(f"{folder} is not an encoder's folder: it holds no {file.name}")
    config = read_configuration(config_file)
    check_header(config, read_header(weights_file), str(folder))
    encoder = build_encoder(config, str(folder))
    encoder.load_state_dict(safetensors.torch.load_file(weights_file), strict=False)
    return encoder


def _from_checkpoint(path: Path) -> Encoder:
    content = read_weights(path)
    if not isinstance(content, dict) or CHECKPOINT_KEY not in content:
        raise UserError(
            f"{path} is not a checkpoint of `vipl fit`: it names no encoder; the weights of a "
            f"released one go with its name: load_encoder(NAME, weights=FILE){_OWN_NETWORK}"
        )
    config = content[CHECKPOINT_KEY]
    check_configuration(config, str(path))
    state = select(content, str(path), under=["state_dict"], drop=[f"^(?!{re.escape(_PREFIX)})"])
    weights = {name.removeprefix(_PREFIX): value for name, value in state.items()}
    check_header(config, weights, str(path))
    encoder = build_encoder(config, str(path))
    encoder.load_state_dict(weights, strict=False)  # as it has been compared
    return encoder


def _from_timm(spec: str) -> Encoder:
    name, _, query = spec.partition("?")
    options = dict(parse_qsl(query, keep_blank_values=True))
    pretrained = options.pop("pretrained", "true")
    if options or pretrained not in ("true", "false"):
        raise UserError(f"timm:{spec}: expected timm:NAME or timm:NAME?pretrained=false")
    check_name(name)
    data = _data_config(name)
    size = data["input_size"][-1]
    return Encoder(
        name,
        output_dim=0,
        image_size=size,
        # As timm rounds.
        central_fraction=size / int(size / data["crop_pct"]),
        keep_aspect=data["crop_mode"] != "squash",
        interpolation="bicubic" if data["interpolation"] == "bicubic" else "bilinear",
        mean=tuple(data["mean"]),
        std=tuple(data["std"]),
        pretrained=pretrained == "true",
    )


def _untrained(name: str) -> Encoder:
    known = zoo.entries()
    if name in known:
        return zoo.build(known[name])
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, [*known, *timm.list_models()], n=3)
        hint = f"; did you mean {' or '.join(f'random:{one}' for one in near)}?" if near else ""
        raise UserError(f"random:{name}: neither `vipl encoders` nor timm has a {name!r}{hint}")
    return _from_timm(f"{name}?pretrained=false")


def _data_config(name: str) -> dict[str, Any]:
    found = timm.get_pretrained_cfg(name)
    pretrained_cfg = {} if found is None else asdict(found)
    resolved: dict[str, Any] = resolve_data_config({}, pretrained_cfg=pretrained_cfg)  # type: ignore[no-untyped-call]
    return resolved


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def _no_such_source(source: str) -> str:
    forms = (
        "expected a folder, a checkpoint file, timm:NAME, hf:OWNER/NAME, or a name that "
        "`vipl encoders` lists"
    )
    if timm.is_model(source):
        return f"there is no encoder {source!r}: did you mean timm:{source}? ({forms})"
    known = [*zoo.entries(), *timm.list_models()]
    near = [] if "/" in source else difflib.get_close_matches(source, known, n=3)
    near += [str(path) for path in _near_paths(Path(source))]
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"there is no encoder {source!r}: {forms}{hint}"


def _near_paths(path: Path) -> list[Path]:
    if not path.parent.is_dir():
        return []
    names = [entry.name for entry in path.parent.iterdir()]
    return [path.parent / name for name in difflib.get_close_matches(path.name, names, n=3)]
