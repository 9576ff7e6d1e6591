"""JSON files that are read as a stream, since the whole of one would fill gigabytes of memory."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import ijson

from vipl.errors import UserError

_BUFFER_BYTES = 1 << 20

Value = TypeVar("Value")


def items_of(file: Path, key: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of one list of the outermost object.

    Raises:
        UserError: If the file is not JSON, or ends before its end.
    """
    return _read(
        file,
        lambda stream: ijson.items(stream, f"{key}.item", use_float=True, buf_size=_BUFFER_BYTES),
    )


def entries_of(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the outermost object with their values, one at a time.

    Raises:
        UserError: If the file is not JSON, or ends before its end.
    """
    return _read(
        file, lambda stream: ijson.kvitems(stream, "", use_float=True, buf_size=_BUFFER_BYTES)
    )


def _read(file: Path, parse: Callable[[BinaryIO], Iterator[Value]]) -> Iterator[Value]:
    try:
        with file.open("rb") as stream:
            yield from parse(stream)
    except ijson.common.JSONError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{file} is not whole, or no JSON ({reason}): fetch it again") from error
