"""JSON files that are read as a stream, since the whole of one would fill gigabytes of memory."""

import codecs
import contextlib
import itertools
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ijson

from vipl.data.manifests.text_files import encoding_of, no_text
from vipl.errors import UserError

_BUFFER_BYTES = 1 << 20
# The parser keeps the path of every level that it is in: a file of brackets would fill any memory.
_MAX_LEVELS = 5000

# A text, whole or cut off by the end of what was read; or a value that JSON or the parser has not.
_TOKEN = re.compile(
    rb'"(?:[^"\\]|\\.)*(?P<end>"|\\?\Z)'
    rb"|-?\b(?:NaN|Infinity|\d{19,}(?:\.\d+)?|\d[\d.]*[eE]\+?\d{3,})\b",
    re.DOTALL,
)
_CUT_OFF = re.compile(rb"[\w.+-]+\Z")

Value = TypeVar("Value")


class _Readable(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


def items_of(file: Path, key: str) -> Iterator[Any]:
    """Yield the values of one list of the outermost object.

    NaN, and numbers that are beyond 64 bits, are None.

    Raises:
        UserError: If the file is not JSON, or ends before its end.
    """
    return _read(
        file,
        lambda stream: ijson.items(stream, f"{key}.item", use_float=True, buf_size=_BUFFER_BYTES),
    )


def entries_of(file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the keys of the outermost object with their values, one at a time.

    NaN, and numbers that are beyond 64 bits, are None.

    Raises:
        UserError: If the file is not JSON, or ends before its end.
    """
    return _read(
        file, lambda stream: ijson.kvitems(stream, "", use_float=True, buf_size=_BUFFER_BYTES)
    )


def _read(file: Path, parse: Callable[[_Readable], Iterator[Value]]) -> Iterator[Value]:
    """Yield what `parse` finds; numbers are only looked at where it stumbles, for that is slow."""
    done = 0
    for clean in (_Levels, _Numbers):
        try:
            with _opened(file) as stream:
                for value in itertools.islice(parse(clean(stream)), done, None):
                    done += 1
                    yield value
            return
        except UnicodeDecodeError:
            raise no_text(file) from None
        except (ijson.common.JSONError, _TooDeepError) as error:
            failure = error
    if "UTF8" in str(failure):
        raise no_text(file) from failure
    reason = " ".join(str(failure).split())
    raise UserError(f"{file} is not whole, or no JSON ({reason}): fetch it again") from failure


@contextlib.contextmanager
def _opened(file: Path) -> Iterator[_Readable]:
    """Open a file to be read as UTF-8 without a mark, whichever Unicode encoding it is in."""
    encoding = encoding_of(file)
    with file.open("rb") as stream:
        yield stream if encoding == "utf-8" else codecs.EncodedFile(stream, "utf-8", encoding)


class _TooDeepError(Exception):
    """So many brackets in a row are no data."""


class _Levels:
    """A stream that refuses what is nested too deeply."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = stream

    def read(self, size: int = -1, /) -> bytes:
        data = self._stream.read(size)
        opened = data.count(b"[") + data.count(b"{")
        if opened - data.count(b"]") - data.count(b"}") > _MAX_LEVELS:
            raise _TooDeepError("nested too deeply")
        return data


class _Numbers:
    """A stream in which null stands for NaN and for numbers that are beyond 64 bits."""

    def __init__(self, stream: _Readable) -> None:
        self._stream = _Levels(stream)
        self._held = b""

    def read(self, size: int = -1, /) -> bytes:
        if not size:
            return b""
        while True:
            more = self._stream.read(size)
            data, self._held = self._held + more, b""
            if more:
                data, self._held = _split(data)
            if data or not more:
                return _TOKEN.sub(lambda found: found[0] if found["end"] else b"null", data)


def _split(data: bytes) -> tuple[bytes, bytes]:
    """Return what can be looked at, and what may go on in what is read next."""
    for found in _TOKEN.finditer(data):
        if found["end"] not in (None, b'"'):
            return data[: found.start()], data[found.start() :]
    cut = _CUT_OFF.search(data)
    start = cut.start() if cut else len(data)
    return data[:start], data[start:]
