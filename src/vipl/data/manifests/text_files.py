"""Text files of users, tables and JSON: in which encoding they are, and what is wrong with them."""

import codecs
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TextIO, TypeVar

from vipl.errors import UserError

Row = TypeVar("Row")
Faults = list[tuple[str, str]]
"""(which file and row, what is wrong) of rows that are passed over."""


def encoding_of(file: Path) -> str:
    """Return the Unicode encoding of a file that begins with ASCII, by its first bytes."""
    with file.open("rb") as stream:
        return json.detect_encoding(stream.read(4))


def no_text(file: Path) -> UserError:
    """Return the error that a file is not in the encoding that it seems to be in."""
    encoding, where = encoding_of(file), ""
    with file.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if encoding.startswith("utf-8") and not _is_utf8(line):
                where = f" in line {number}"
                break
    return UserError(
        f"{file} is not in {encoding.removesuffix('-sig').upper()}{where}: save it as UTF-8, "
        "such as by `iconv -f LATIN1 -t UTF-8`"
    )


def read_json(file: Path, *, remedy: str = "fetch it again") -> Any:
    """Return what a JSON file holds; it may begin with a byte-order mark.

    Raises:
        UserError: If it is no JSON, or in no Unicode encoding.
    """
    try:
        return json.loads(file.read_bytes())
    except UnicodeDecodeError:
        raise no_text(file) from None
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else error
        raise UserError(f"{file} is not whole, or no JSON ({reason}): {remedy}") from error


def table_columns(file: Path) -> list[str]:
    """Return the columns' names of a table with commas, its first line.

    Raises:
        UserError: If two have one name, or the file is in no Unicode encoding.
    """
    try:
        with _open(file) as stream:
            reader = csv.reader(stream, strict=True)
            columns = next(_lines(reader, file), [])
    except UnicodeDecodeError:
        raise no_text(file) from None
    if isinstance(columns, str) or any("\n" in name or "\r" in name for name in columns):
        raise UserError(f"{file} has wrong quotes in its first line, the names of the columns")
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        raise UserError(f"{file} has the column {repeated[0]!r} twice")
    return columns


def table_rows(file: Path, faults: Faults) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the numbers and the values of a table's rows, counted from 1 below the first line.

    Args:
        file: With commas between values; empty lines are passed over.
        faults: Filled with rows that have more values or fewer than there are columns, and
            those whose quotes are wrong.

    Raises:
        UserError: As `table_columns`; or if a quote is not closed before the end of the file.
    """
    columns = table_columns(file)
    with _open(file) as stream:
        lines = _lines(csv.reader(stream, strict=True), file)
        next(lines, None)
        for number, values in enumerate(lines, start=1):
            if isinstance(values, str):
                faults.append((f"{file.name}, row {number}", values))
            elif len(values) != len(columns):
                how = f"{len(values)} values, expected {len(columns)}"
                faults.append((f"{file.name}, row {number}", how))
            else:
                yield number, dict(zip(columns, values, strict=True))


def parse_rows(file: Path, faults: Faults, parse: Callable[[dict[str, str]], Row]) -> Iterator[Row]:
    """Yield what `parse` makes of a table's rows.

    Args:
        file: As for `table_rows`.
        faults: Filled with the rows that `parse` refuses by a ValueError, too.
        parse: Of a row by its columns.

    Raises:
        UserError: As `table_rows`; or if there are rows, and none can be read.
    """
    found, before = False, len(faults)
    for number, row in table_rows(file, faults):
        try:
            value = parse(row)
        except ValueError as error:
            faults.append((f"{file.name}, row {number}", str(error)))
            continue
        found = True
        yield value
    if not found and len(faults) > before:
        where, reason = faults[before]
        raise UserError(f"no row of {file} can be read; the first, {where}: {reason}")


def plain_text(value: object) -> str:
    """Return a text without what no file can hold (halves of surrogate pairs); "" of no text."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else ""


def _lines(reader: Any, file: Path) -> Iterator[list[str] | str]:
    """Yield the values of the lines that are not empty; of one with wrong quotes, the reason."""
    while True:
        first = reader.line_num + 1
        try:
            values = next(reader, None)
        except UnicodeDecodeError:
            raise no_text(file) from None
        except csv.Error as error:
            if "unexpected end" in str(error) or "field limit" in str(error):
                raise UserError(
                    f"{file} has a quote in line {first} that is not closed: close it, or double "
                    "every quote inside a text"
                ) from error
            yield f"the quotes are wrong ({error})"
            continue
        if values is None:
            return
        if values:
            yield values


def _open(file: Path) -> TextIO:
    return file.open(newline="", encoding=encoding_of(file))


def _is_utf8(line: bytes) -> bool:
    try:
        codecs.decode(line, "utf-8")
    except UnicodeDecodeError:
        return False
    return True
