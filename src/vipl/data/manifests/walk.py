"""Walking through folders, where links may lead to one file by many ways.

A file is known by its device and its number there (inode), which all its names share: those that
hard links give it, and those by way of links to it or to a folder above it.
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

Identity = tuple[int, int]


class Folder(NamedTuple):
    """A folder that was walked through.

    Attributes:
        path: Below the one where the walk began.
        names: Of its files that are not hidden, sorted.
        by_link: Whether a link leads to it.
    """

    path: Path
    names: list[str]
    by_link: bool


class Walk:
    """The folders at and below one, each once, those that no link leads to first.

    Hidden ones are passed over, and so are links to what is above.

    Args:
        directory: Where to begin.

    Attributes:
        repeated: How many links were not followed, since their folders are walked through anyway.
        closed: Folders that cannot be listed.
    """

    def __init__(self, directory: Path) -> None:
        self.repeated = 0
        self.closed: list[Path] = []
        self._links = [directory]
        self._seen = {identity(folder) for folder in directory.resolve().parents}

    def __iter__(self) -> Iterator[Folder]:
        start = self._links[0]
        while self._links:
            link = self._links.pop(0)
            for place, subfolders, names in os.walk(link, onerror=self._note):
                found = identity(place)
                if found is not None and found in self._seen:
                    self.repeated += 1
                    subfolders.clear()
                    continue
                self._seen.add(found)
                subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
                folder = Path(place)
                self._links += [f for name in subfolders if (f := folder / name).is_symlink()]
                shown = sorted(name for name in names if not name.startswith("."))
                yield Folder(folder, shown, by_link=link is not start)

    def _note(self, error: OSError) -> None:
        self.closed.append(Path(error.filename))


def identity(path: str | Path) -> Identity | None:
    """Return the device and the inode of what is at a path; None where nothing is, or no number."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    return (found.st_dev, found.st_ino) if found.st_ino else None


def once(files: Iterable[tuple[bool, Path]]) -> list[Path]:
    """Return files in the order of their paths, each once.

    Args:
        files: (whether a link leads to it, path); of one file's paths, one without links is taken.
    """
    chosen: dict[Identity | Path, Path] = {}
    for _, path in sorted(files):
        chosen.setdefault(identity(path) or path, path)
    return sorted(chosen.values())


def can_be_named(path: str) -> bool:
    """Whether a manifest can hold a path: text, without what ends or parts it elsewhere."""
    return is_text(path) and "\\" not in path and "\0" not in path


def is_text(name: str) -> bool:
    """Whether a name from the file system is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str | Path) -> str:
    r"""Return a path as text; bytes that are not UTF-8 as \xe9."""
    return os.fsencode(path).decode(errors="backslashreplace")
