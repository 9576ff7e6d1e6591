"""What every source of clips reports, and how it says that a folder is not what it looks for."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from vipl.data.manifests.manifest import Clip
from vipl.data.manifests.walk import shown
from vipl.errors import UserError

Progress = Callable[[int, int], None]
"""Called with the numbers of videos done and to do."""

REPEATED = "links to files and folders that are counted already"
NAMELESS = "its name cannot be written down (it is not UTF-8, or has a backslash): rename it"

_SHOWN = 6


def no_progress(done: int, total: int) -> None:
    """Show nothing."""


@dataclass
class SourceReport:
    """What a source found.

    Attributes:
        root: Folder that the clips' paths are relative to.
        layout: Which layout was recognised.
        trusted: The file that tells rates, counts and sizes, where no video was opened for them.
        clips: The rows of the manifest.
        unreadable: (path, reason) of every video that gives no clip, and of the annotations' rows
            that cannot be read ("EPIC_100_train.csv, row 3").
        distrusted: (path, reason) of videos that decord misreads and PyAV will decode.
        remarked: (path, what) of videos whose pictures are not quite ordinary, as HLG.
        shorter: (path, how) of clips that are shorter than the data set says.
        looked_for: How many files the clips are in.
        missing: Those that are not there.
        keeps_missing: Whether their clips are rows all the same; else they are left out, since
            the annotations do not tell enough about them.
        left_out: What else was passed over, and how many of it.
    """

    root: Path
    layout: str = ""
    trusted: str = ""
    clips: list[Clip] | pa.Table = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    distrusted: list[tuple[str, str]] = field(default_factory=list)
    remarked: list[tuple[str, str]] = field(default_factory=list)
    shorter: list[tuple[str, str]] = field(default_factory=list)
    looked_for: int = 0
    missing: list[str] = field(default_factory=list)
    keeps_missing: bool = False
    left_out: Counter[str] = field(default_factory=Counter)

    def leave_out(self, paths: Iterable[Path], reason: str) -> None:
        """Note paths below the root that give no clip, for one reason."""
        names = (shown(path.relative_to(self.root)) for path in paths)
        self.unreadable += [(name, reason) for name in sorted(names)]

    def require_files(self, *, allow_missing: bool, remedy: str = "fetch them") -> None:
        """Refuse files that are not there, unless that is allowed.

        Args:
            allow_missing: Whether they may be missing.
            remedy: What to do else.

        Raises:
            UserError: Naming how many, and the first.
        """
        self.missing.sort()
        if self.missing and not allow_missing:
            raise UserError(
                f"{len(self.missing)} of {self.looked_for} files are not in {self.root}, the "
                f"first is {self.missing[0]}: {remedy}, or build all the same by --allow-missing"
            )

    def require_clips(self, looked_at: str) -> None:
        """Refuse a data set that gives no clip.

        Args:
            looked_at: What was looked at, for the message.

        Raises:
            UserError: Saying what became of everything.
        """
        if len(self.clips):
            return
        fates = [f"{count} {what}" for what, count in self.left_out.most_common() if count]
        if self.missing:
            fates.append(f"{len(self.missing)} missing, the first {self.missing[0]}")
        if self.unreadable:
            path, reason = self.unreadable[0]
            fates.append(f"{len(self.unreadable)} unreadable, the first {path}: {reason}")
        raise UserError(f"{looked_at} gives no clip: {'; '.join(fates) or 'it is empty'}")


def first_existing(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the first of some paths below a folder that exists."""
    return next((folder / name for name in names if (folder / name).exists()), None)


def wrong_layout(
    folder: Path, kind: str, looked_for: Sequence[str], *, remedy: str = ""
) -> UserError:
    """Return the error that says what was looked for in a folder, and what was found.

    Args:
        folder: As the user named it.
        kind: The data set.
        looked_for: Paths below the folder, any of which would do.
        remedy: What else to do.
    """
    if not folder.exists():
        return UserError(f"there is no folder {folder}")
    if not folder.is_dir():
        return UserError(f"{folder} is a file, expected the folder of {kind}")
    found = sorted(folder.iterdir())
    names = (f"{shown(path.name)}{'/' * path.is_dir()}" for path in found[:_SHOWN])
    listed = ", ".join(names) or "nothing"
    if len(found) > _SHOWN:
        listed += f" and {len(found) - _SHOWN} more"
    return UserError(
        f"{folder} is not laid out as {kind}: looked for {' or '.join(looked_for)}, found {listed}"
        f"{remedy and f'; {remedy}'}"
    )
