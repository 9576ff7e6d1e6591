"""Embeddings of some pictures, recorded once, to compare those of other versions with.

Shapes: N pictures of H x W pixels, D the embedding size.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.data.decoding.pictures import IMAGE_SUFFIXES, read_picture
from vipl.data.decoding.video import VideoError, VideoReader
from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.encoder import Encoder
from vipl.models.zoo.conformance import TOLERANCE, Check

_VERSIONS = ("vipl", "torch", "torchvision", "timm")


def golden(encoder: Encoder, images: Path, file: Path) -> Check:
    """Compare an encoder's embeddings with those in a file, or record them where it is not there.

    Args:
        encoder: In evaluation mode.
        images: A folder of pictures and of videos, whose first frames count.
        file: JSON, written by an earlier call.

    Raises:
        UserError: If there is no picture, or the file was recorded of others.
    """
    embeddings = {name: _embed(encoder, picture) for name, picture in _pictures(images)}
    if not embeddings:
        raise UserError(f"{images} holds no picture and no video")
    if not file.is_file():
        _record(embeddings, file)
        return Check("golden", None, f"recorded those of {len(embeddings)} pictures in {file}")
    before = _read(file)
    if set(before["embeddings"]) != set(embeddings):
        unlike = sorted(set(before["embeddings"]) ^ set(embeddings))
        raise UserError(f"{file} was recorded of other pictures: {unlike[0]} is not in both")
    apart = {name: _apart(now, before["embeddings"][name]) for name, now in embeddings.items()}
    worst = max(apart, key=lambda name: apart[name])
    made_by = ", ".join(f"{name} {number}" for name, number in before["versions"].items())
    detail = f"{len(apart)} pictures, at most {apart[worst]:.1e} ({worst}) from those of {made_by}"
    return Check("golden", apart[worst] <= TOLERANCE, detail)


def _pictures(folder: Path) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield names and uint8 [H, W, 3]; what is neither picture nor video is passed over.

    Raises:
        UserError: If there is no such folder, or what is called a picture cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} is no folder of pictures")
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        try:
            yield name, read_picture(path)
            continue
        except VideoError:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                raise
        try:
            with VideoReader(path, backend="pyav") as video:
                yield name, video.read([0])[0]
        except VideoError:
            continue


def _embed(encoder: Encoder, picture: NDArray[np.uint8]) -> list[float]:
    images = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    embedding: list[float] = encoder.embed(images)[0].tolist()
    return embedding


def _record(embeddings: dict[str, list[float]], file: Path) -> None:
    content = {
        "versions": {name: version(name) for name in _VERSIONS},
        "embeddings": embeddings,
    }
    write_atomically(file, lambda path: path.write_text(json.dumps(content) + "\n"))


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text())
        if not {"versions", "embeddings"} <= set(content):
            raise ValueError
    except ValueError as error:
        raise UserError(f"{file} holds no recorded embeddings: name another file") from error
    return dict(content)


def _apart(now: list[float], before: list[float]) -> float:
    if len(now) != len(before):
        return float("inf")
    one, other = np.array(now), np.array(before)
    return float(np.abs(one - other).max() / max(np.abs(other).max(), 1e-12))
