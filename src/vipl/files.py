"""Writing files so that nobody ever sees half of one, and folders that one process writes to."""

import csv
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from vipl.errors import UserError

LOCK_NAME = ".lock"
"""The file by which `locked` holds a folder; it stays there."""


def write_atomically(path: Path, write: Callable[[Path], object], *, durable: bool = False) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it.

    Args:
        path: The file to make or replace; its folder is made where there is none.
        write: Given the temporary path; what it raises leaves `path` as it was.
        durable: Wait until the disk holds it, so that a power cut leaves the old file or the new.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix
    )
    os.close(descriptor)
    temporary = Path(name)
    try:
        write(temporary)
        temporary.chmod(0o666 & ~_umask())
        if durable:
            _sync(temporary)
        temporary.replace(path)
        if durable:
            _sync(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say where
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table by `write_atomically`; None is an empty cell."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(header)
            writer.writerows(rows)

    write_atomically(path, write)


def clear_temporaries(folder: Path) -> None:
    """Remove what `write_atomically` left in a folder when it was killed.

    Only for the process that holds the folder: others may be writing.
    """
    for path in folder.glob(".*-????????.*"):
        path.unlink(missing_ok=True)


def missing_folders(folder: Path) -> list[Path]:
    """Return a folder and those above it, as far as they are not there, the deepest first."""
    return [part for part in (folder, *folder.parents) if not part.exists()]


@contextmanager
def undone(folder: Path, *, new: Sequence[Path], unless: Callable[[], bool]) -> Iterator[None]:
    """Take back what the block puts into a folder, where it fails; the folder too if it is new.

    Args:
        folder: That this process holds by `locked`; what was in it before the block stays.
        new: What `missing_folders` returned before it was made.
        unless: Whether there is something to keep, asked when it failed.
    """
    before = set() if new else set(folder.iterdir())
    try:
        yield
    except Exception:
        if folder.is_dir() and not unless():
            for entry in set(folder.iterdir()) - before:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
            with suppress(OSError):  # another process writes beside it
                for part in new:
                    part.rmdir()
        raise


@contextmanager
def locked(folder: Path, refusal: str) -> Iterator[None]:
    """Make a folder and hold it against other processes, until the block or the process ends.

    What the system refuses inside the block (a full disk) names at least the folder.

    Args:
        folder: To hold.
        refusal: What to say where another process holds it: who that is, and the remedy.

    Raises:
        UserError: If another process holds it.
    """
    import fcntl  # only here: the rest of this module runs on Windows too

    _make_folder(folder)
    with (folder / LOCK_NAME).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(refusal) from None
        if not _is_there(lock, folder / LOCK_NAME):  # who held it has just removed the folder
            raise UserError(refusal)
        _held.append(lock)
        try:
            yield
        except OSError as error:
            error.filename = error.filename or str(folder)  # a full disk does not say where
            raise
        finally:
            if lock in _held:  # not in a process that was forked inside the block
                _held.remove(lock)


def _is_there(lock: IO[str], path: Path) -> bool:
    """Whether an open file is still the one of its path."""
    try:
        return os.path.samestat(os.fstat(lock.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _make_folder(folder: Path) -> None:
    """Make a folder; a file in its place is named, and not only its error.

    Raises:
        UserError: If there is a file.
    """
    for part in (folder, *folder.parents):
        if part.exists() and not part.is_dir():
            raise UserError(f"{part} is a file, expected a folder: choose another name")
    folder.mkdir(parents=True, exist_ok=True)


_held: list[IO[str]] = []


def _let_go() -> None:
    """In a forked process: it must not hold a folder longer than the one that it came from."""
    for lock in _held:
        lock.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
