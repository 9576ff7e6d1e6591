"""The encoder under test and its controls: what they are, how they are told apart and built."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch

from vipl.errors import UserError
from vipl.evaluation.evaluator import ORACLE, RANDOM, Cell
from vipl.models.checkpoint import load_encoder
from vipl.models.encoder import Encoder
from vipl.models.identity import configuration_sha256, encoder_sha256

Role = Literal["trained", "oracle", "random"]

_DEFAULT_RANDOM = "resnet18"


@dataclass(frozen=True)
class EncoderSpec:
    """An encoder as plain values, so that any machine can build it.

    Attributes:
        source: As the user named it.
        role: "trained": it has weights. "oracle": the ground-truth state stands in for it.
            "random": its weights are drawn from the seed of each cell.
        config: Arguments of `Encoder`; empty for the oracle.
        weights: The state dict as safetensors; empty unless it is trained.
        sha256: Of configuration and weights; None unless it is trained.
    """

    source: str
    role: Role
    config: Mapping[str, Any] = field(default_factory=dict)
    weights: bytes = field(default=b"", repr=False)
    sha256: str | None = None

    @property
    def label(self) -> str:
        """A short name, fit for a folder."""
        source = self.source.removeprefix("timm:")
        if self.role == "trained" and source == self.source:
            source = _path_label(Path(source).resolve())
        return re.sub(r"[^A-Za-z0-9._-]+", "-", source).strip("-.") or "encoder"

    def identity(self, variant: str) -> str:
        """Return what stands behind a variant: the same text, the same network.

        The oracle's is the same whatever is under test, and an untrained encoder's depends on
        the architecture alone.
        """
        if ORACLE in (variant, self.role):
            return ORACLE
        if RANDOM in (variant, self.role):
            return f"{RANDOM}:{configuration_sha256(self.config, {})}"
        assert self.sha256 is not None
        return self.sha256

    def build(self, variant: str, seed: int) -> Encoder | None:
        """Build the network of a variant, in evaluation mode and without gradients.

        Args:
            variant: Of a cell.
            seed: Of the cell; an untrained network's weights are drawn from it.

        Returns:
            The network, or None for the oracle.
        """
        if ORACLE in (variant, self.role):
            return None
        # Of the CPU only: weights are drawn there, wherever they go then.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            encoder = Encoder(**self.config)
        if RANDOM not in (variant, self.role):
            encoder.load_state_dict(safetensors.torch.load(self.weights))
        return encoder.eval().requires_grad_(False)


@dataclass(frozen=True)
class Encoders:
    """What `--encoder` names: one encoder for all cells, or one for each task and camera.

    Attributes:
        source: As the user named it; {task} and {camera} in it stand for a cell's.
        specs: By source, with those filled in.
    """

    source: str
    specs: Mapping[str, EncoderSpec]

    def of(self, cell: Cell) -> EncoderSpec:
        """Return the encoder of a cell."""
        return self.specs[_filled_in(self.source, cell)]

    @property
    def only(self) -> EncoderSpec | None:
        """The one encoder of all cells; None where there may be several."""
        return self.specs.get(self.source)

    @property
    def label(self) -> str:
        """A short name, fit for a folder."""
        return EncoderSpec(self.source, role_of(self.source)).label

    @property
    def identity(self) -> str:
        """What stands behind them all: the same text, the same networks for the same cells."""
        if self.only is not None:
            return self.only.identity("")
        return hashlib.sha256(json.dumps(self.sha256s, sort_keys=True).encode()).hexdigest()

    @property
    def sha256s(self) -> dict[str, str | None]:
        """The hash of each encoder, by its source."""
        return {source: spec.sha256 for source, spec in self.specs.items()}

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of `Encoder` that are the same for all of them."""
        first, *others = (spec.config for spec in self.specs.values())
        return {
            name: value
            for name, value in first.items()
            if all(name in other and other[name] == value for other in others)
        }


def read_encoders(source: str, cells: Iterable[Cell]) -> Encoders:
    """Read what `--encoder` names for all cells.

    Args:
        source: As for `read_encoder`; {task} and {camera} in it are filled in.
        cells: That are to be run, at least one.

    Raises:
        UserError: If one does not load.
    """
    sources = dict.fromkeys(_filled_in(source, cell) for cell in cells)
    return Encoders(source, {name: read_encoder(name) for name in sources})


def role_of(source: str) -> Role:
    """Return what kind of encoder `--encoder` names."""
    if source == ORACLE:
        return "oracle"
    return "random" if source == RANDOM or source.startswith(f"{RANDOM}:") else "trained"


def _filled_in(source: str, cell: Cell) -> str:
    return source.replace("{task}", cell.task).replace("{camera}", cell.camera or "")


def read_encoder(source: str) -> EncoderSpec:
    """Read what `--encoder` names.

    Args:
        source: "oracle", "random", "random:NAME" for an untrained network, or anything
            that `vipl.load_encoder` takes.

    Raises:
        UserError: If it does not load.
    """
    role = role_of(source)
    if role == "oracle":
        return EncoderSpec(source, role)
    if role == "random":
        name = source.removeprefix(RANDOM).removeprefix(":") or _DEFAULT_RANDOM
        config = load_encoder(f"{RANDOM}:{name}").config
        return EncoderSpec(source, role, config)
    encoder = load_encoder(source)
    config = {**encoder.config, "pretrained": False}
    state = {name: value.contiguous() for name, value in encoder.state_dict().items()}
    weights = safetensors.torch.save(state)
    return EncoderSpec(source, role, config, weights, encoder_sha256(encoder))


def check_device(device: str) -> None:
    """Try a device.

    Raises:
        UserError: If this machine does not have it.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(f"--device {device} cannot be had: {reason}") from error


def _path_label(path: Path) -> str:
    if path.name in ("encoder", "run") or "{" in path.name:  # says nothing
        return _path_label(path.parent)
    stem = path.stem if path.suffix == ".ckpt" else path.name
    if path.parent.name == "checkpoints":
        return f"{_path_label(path.parents[1])}-{stem}"
    return f"{_path_label(path.parent)}-{stem}" if stem.startswith("encoder_") else stem
