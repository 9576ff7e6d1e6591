"""Tables of folders of frames, as the released methods keep them.

- VIP: `path,len`; frames `path/%06d.jpg` from 0;
- R3M: `path,len,txt`; the same from 1;
- LIV: `directory,num_frames,text`.

Which number is the first is seen on the disk, not believed: VIP also reads tables with `txt`.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from vipl.data.manifests.text_files import Faults, parse_rows, table_columns
from vipl.data.manifests.walk import can_be_named
from vipl.errors import UserError


class Form(NamedTuple):
    """The columns of one kind of table."""

    name: str
    folder: str
    length: str
    label: str


_FORMS = (
    Form("R3M's table (path,len,txt)", "path", "len", "txt"),
    Form("VIP's table (path,len)", "path", "len", ""),
    Form("LIV's table (directory,num_frames,text)", "directory", "num_frames", "text"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One clip of a table.

    Attributes:
        folder: That holds the frames.
        length: How many there are, it says; None: nothing does.
        label: What happens, or "".
    """

    folder: Path
    length: int | None
    label: str


def read_table(file: Path, faults: Faults) -> tuple[str, list[Row]]:
    """Return which table it is, and its rows; relative folders are relative to the table's.

    Args:
        file: The table.
        faults: Filled with the rows that cannot be read.

    Raises:
        UserError: If it is none of the known ones, or no row can be read.
    """
    form = _form(file, [name for name in table_columns(file) if name])
    rows = list(parse_rows(file, faults, partial(_row, file.parent, form)))
    if not rows:
        raise UserError(f"{file} has no rows, expected at least one folder of frames")
    return form.name, rows


def place(rows: list[Row], base: Path, *, root: Path | None) -> tuple[Path, list[Row]]:
    """Return a folder that holds the folders of all rows, and the rows.

    Args:
        rows: Of the table.
        base: The table's folder, which is taken where it holds them all.
        root: Another that does, or to which they have been moved; None: the nearest that does.
    """
    shared = Path(os.path.commonpath({row.folder.parent for row in rows}))
    base, chosen = (Path(os.path.abspath(folder)) for folder in (base, root or shared))
    if root is None and shared.is_relative_to(base):
        return base, rows
    if shared.is_relative_to(chosen):
        return chosen, rows
    return chosen, [replace(r, folder=chosen / r.folder.relative_to(shared)) for r in rows]


def _form(file: Path, columns: list[str]) -> Form:
    for form in _FORMS:
        if {column for column in form[1:] if column} <= set(columns):
            return form
    known = "; ".join(form.name for form in _FORMS)
    raise UserError(
        f"{file} is no table of folders of frames: looked for {known}; "
        f"found the columns {', '.join(columns) or 'none'}"
    )


def _row(base: Path, form: Form, row: Mapping[str, str]) -> Row:
    text, name = row[form.length], row[form.folder]
    try:
        length = int(float(text))
    except (ValueError, OverflowError):
        raise ValueError(f"column {form.length}: {text!r}, expected a number of frames") from None
    if not name or not can_be_named(name):
        raise ValueError(f"column {form.folder}: {name!r}, expected the name of a folder")
    return Row(Path(os.path.abspath(base / name)), length, row[form.label] if form.label else "")
