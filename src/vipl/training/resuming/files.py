"""Checkpoint files: written whole or not at all, checked before they are used.

A run's folder `checkpoints/` holds the latest few as `step=N.ckpt`, and `last.ckpt`, a link to the
newest. A file that is torn all the same (a disk that failed, a copy that broke off) is passed over
for the one before, which leads to the same run: what is drawn depends on the step alone.
"""

import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from lightning_fabric.plugins import TorchCheckpointIO

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.finite import find_non_finite_saved

LAST = "last"
"""What `ckpt_path` may say in place of a file: the newest checkpoint of the run's folder."""

RECORD_KEY = "vipl_run"
"""Where a checkpoint says what run it belongs to."""

_LAST_NAME = "last.ckpt"
_STEP_NAME = re.compile(r"step=(\d+)\.ckpt")


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes each checkpoint to a temporary name, waits for the disk, then renames it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike[str], storage_options: Any = None
    ) -> None:
        """Write a checkpoint; whatever interrupts it leaves the file that was there."""

        def write(file: Path) -> None:
            with file.open("wb") as stream:  # PyTorch's own would not say that a disk is full
                torch.save(checkpoint, stream)

        write_atomically(Path(path), write, durable=True)

    def load_checkpoint(
        self, path: str | os.PathLike[str], map_location: Any = "cpu", weights_only: Any = None
    ) -> dict[str, Any]:
        """Read the checkpoint that the first process names.

        A folder that nodes share may for a while look older to some of them.
        """
        if dist.is_available() and dist.is_initialized():
            names = [os.fspath(path)]
            dist.broadcast_object_list(names, src=0)
            path = names[0]
        return super().load_checkpoint(os.fspath(path), map_location, weights_only)


@dataclass(frozen=True)
class Found:
    """A checkpoint that is whole, and whose numbers are finite.

    Attributes:
        path: Of the file.
        step: Optimiser steps that it holds.
        record: What it says of its run, see `recipe`; None if it says nothing.
        passed_over: Newer files that are torn, or not finite: path, and which.
    """

    path: Path
    step: int
    record: Mapping[str, Any] | None
    passed_over: tuple[tuple[Path, str], ...]


def folder_of(run_dir: Path) -> Path:
    """Return the folder of a run's checkpoints."""
    return run_dir / "checkpoints"


def last_path(run_dir: Path) -> Path:
    """Return the name of a run's newest checkpoint, a link."""
    return folder_of(run_dir) / _LAST_NAME


def step_path(run_dir: Path, step: int) -> Path:
    """Return the file of a step."""
    return folder_of(run_dir) / f"step={step}.ckpt"


def by_step(folder: Path) -> dict[int, Path]:
    """Return the checkpoints of a folder, the latest first."""
    names = {path: _STEP_NAME.fullmatch(path.name) for path in folder.glob("step=*.ckpt")}
    steps = {int(match[1]): path for path, match in names.items() if match}
    return dict(sorted(steps.items(), reverse=True))


def keep_latest(run_dir: Path, *, step: int, count: int) -> None:
    """Point `last.ckpt` to a step's checkpoint, and keep it and those just before it.

    Those of later steps go as well: a run that was taken back has left them.
    """
    link = last_path(run_dir)

    def point(temporary: Path) -> None:
        temporary.unlink()
        temporary.symlink_to(step_path(run_dir, step).name)

    write_atomically(link, point)
    files = by_step(link.parent)
    kept = [one for one in files if one <= step][:count]
    for other, path in files.items():
        if other not in kept:
            path.unlink(missing_ok=True)


def find(wanted: str, run_dir: Path) -> Found | None:
    """Return the checkpoint to go on from: the wanted one, or the newest good one before it.

    Args:
        wanted: A file, or "last": the newest of `run_dir`.
        run_dir: Folder of the run.

    Returns:
        None if "last" is wanted and the run has no checkpoint yet.

    Raises:
        UserError: If there is no such file, or none is whole and finite.
    """
    path = last_path(run_dir) if wanted == LAST else Path(wanted)
    candidates = _candidates(path)
    if not candidates and wanted == LAST:
        return None
    if not candidates:
        raise UserError(f"there is no checkpoint {path}")
    passed_over: list[tuple[Path, str]] = []
    for candidate in candidates:
        torn = why_torn(candidate)
        if torn is not None:
            passed_over.append((candidate, f"is torn ({torn})"))
            continue
        content = _read(candidate)
        name = find_non_finite_saved(content)
        if name is not None:
            passed_over.append(
                (candidate, f"is of a training that went wrong ({name} is not finite)")
            )
            continue
        step, record = int(content["global_step"]), content.get(RECORD_KEY)
        return Found(candidate, step, record, tuple(passed_over))
    reasons = "; ".join(f"{path} {reason}" for path, reason in passed_over)
    raise UserError(
        f"no checkpoint can be gone on from: {reasons}; begin again by overwrite=true without "
        "ckpt_path"
    )


def why_torn(path: Path) -> str | None:
    """Return why a checkpoint is not whole, None if it is.

    PyTorch's files are zip archives with a checksum of every part, which PyTorch itself does not
    look at when it reads.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (FileNotFoundError, PermissionError):
        raise
    except Exception as error:  # damage shows in many ways
        return f"{type(error).__name__}: {error}"
    return None if part is None else f"the checksum of its part {part} is wrong"


def _candidates(path: Path) -> list[Path]:
    """Return the file itself and those of its run from before it, the newest first."""
    siblings = by_step(path.parent)
    if path.name == _LAST_NAME:
        own = [path.resolve()] if path.is_file() else []
        name = path.resolve().name
    else:
        own = [path] if path.is_file() else []
        name = path.name
    match = _STEP_NAME.fullmatch(name)
    if path.name != _LAST_NAME and (not own or match is None):
        return own
    return own + [file for step, file in siblings.items() if not match or step < int(match[1])]


def _read(path: Path) -> Mapping[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} is not a checkpoint that can be read safely: {reason}") from error
    if not isinstance(content, dict) or "global_step" not in content:
        raise UserError(f"{path} is not a checkpoint of `vipl fit`")
    return content
