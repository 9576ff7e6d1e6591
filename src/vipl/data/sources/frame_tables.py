"""Tables of folders of frames, as the released methods keep them.

- VIP: `path,len`; frames `path/%06d.jpg` from 0;
- R3M: `path,len,txt`; the same from 1;
- LIV: `directory,num_frames,text`.

Which number is the first is seen on the disk, not believed: VIP also reads tables with `txt`.
"""

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

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


def read_table(file: Path) -> tuple[str, list[Row]]:
    """Return which table it is, and its rows; relative folders are relative to the table's.

    Raises:
        UserError: If it is none of the known ones, or a row has no number.
    """
    with file.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        columns = [name for name in reader.fieldnames or () if name]
        form = _form(file, columns)
        rows = [_row(file, number, row, form) for number, row in enumerate(reader, start=1)]
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


def _row(file: Path, number: int, row: Mapping[str, str], form: Form) -> Row:
    text = row[form.length] or ""
    try:
        length = int(float(text))
    except ValueError:
        raise UserError(
            f"{file}, row {number}, column {form.length}: {text!r}, expected a number of frames"
        ) from None
    folder = Path(os.path.abspath(file.parent / (row[form.folder] or "")))
    return Row(folder, length, (row[form.label] or "") if form.label else "")
