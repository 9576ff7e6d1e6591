"""Finding what ships by its name.

The files are those of the repository's folders `configs`, `data_manifests` and `studies`, of which
there is one copy. A built package has them in its folder `files` (`setup.py` puts them there).
"""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from vipl.config.paths import expand
from vipl.errors import UserError

Kind: TypeAlias = Literal["fit", "eval", "recipe", "study"]

KINDS: tuple[Kind, ...] = get_args(Kind)
_FOLDERS: dict[Kind, str] = {
    "fit": "configs/fit",
    "eval": "configs/eval",
    "recipe": "data_manifests",
    "study": "studies",
}
_STUDY_FILE = "study.yaml"


@dataclass(frozen=True)
class Shipped:
    """A file that ships.

    Attributes:
        kind: Which command takes it.
        name: Such as "folder" or "objectives/tcn"; one of its kind has it.
        path: Where it is.
    """

    kind: Kind
    name: str
    path: Path

    @property
    def full_name(self) -> str:
        """Its name among those of all kinds, such as "fit/folder"."""
        return f"{self.kind}/{self.name}"

    @property
    def about(self) -> str:
        """The first sentence of its first comment."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        comment: list[str] = []
        for line in lines:
            if not line.startswith("#"):
                break
            comment.append(line.lstrip("# "))
        return re.split(r"(?<=[.:?])\s", " ".join(comment))[0].rstrip(":.")


def list_shipped(kind: Kind | None = None) -> list[Shipped]:
    """Return what ships, of one kind or of all."""
    found = []
    for one in KINDS if kind is None else (kind,):
        folder = _root() / _FOLDERS[one]
        for path in sorted(folder.rglob("*.yaml")):
            relative = path.relative_to(folder)
            named = relative.parent if relative.name == _STUDY_FILE else relative.with_suffix("")
            found.append(Shipped(one, named.as_posix(), path))
    return found


def find(name: str, kind: Kind | None = None) -> Shipped | None:
    """Return what has a name, such as "folder" or "fit/folder".

    Args:
        name: Its own, or its full one.
        kind: Of which it is; None: any, the first in the order of `KINDS` where several have it.
    """
    for one in list_shipped(kind):
        if name in (one.name, one.full_name):
            return one
    return None


def resolve(name: str | Path, kind: Kind | None) -> Path:
    """Return the file that a user means: one of theirs, else one that ships.

    Args:
        name: A path, or the name of a file that ships; its path in the repository means it too, as
            "configs/fit/folder.yaml", where the working folder has none.
        kind: Of which the name is; None: only paths are meant.
    """
    path = Path(expand(str(name), "the configuration"))
    if path.is_file() or path.is_absolute():
        return path
    by_path = [one.path for one in list_shipped() if one.path.relative_to(_root()) == path]
    known = find(str(name), kind) if kind is not None and not by_path else None
    return known.path if known is not None else (*by_path, path)[0]


def hint(name: str | Path, kind: Kind | None) -> str:
    """Return what to do where there is no file of a name: near ones that ship, and their list."""
    if kind is None:
        return ""
    own = Path(str(name).removesuffix(f"/{_STUDY_FILE}")).with_suffix("")
    known = {one.name for one in list_shipped(kind)}
    near = difflib.get_close_matches(str(name), known, n=3) or [
        *filter(known.__contains__, (own.name, f"{own.parent.name}/{own.name}"))
    ]
    listed = "`vipl configs` lists those that ship"
    return f": did you mean {' or '.join(near)}? ({listed})" if near else f"; {listed}"


def _root() -> Path:
    """Return the folder that holds theirs: the package's, or the repository that it runs from.

    Raises:
        UserError: If there is neither.
    """
    packaged = Path(__file__).parent / "files"
    for root in (packaged, Path(__file__).parents[3]):
        if (root / "configs").is_dir():
            return root
    raise UserError(f"{packaged} is not there: the package is not whole, install it again")
