"""Wrong files made of good ones: a seeded mutator of bytes, of values, and of encodings."""

import random
import re

_VALUE = re.compile(rb'"[^"\n]*"|-?\d+(?:\.\d+)?|true|false|null|[A-Za-z_][\w.]*')
_VALUES = (
    b"", b"0", b"-1", b"1", b"2.5", b"nan", b"NaN", b"Infinity", b"-inf", b"1e999", b"1e30",
    b"99999999999999999999999", b"9223372036854775807", b"null", b"true", b"[]", b"{}", b"[[]]",
    b'""', b'"x"', b'"\\ud800"', b'"../../x"', b'"a\\u0000b"', b'"', b"'", b"\xe9", b"\x00",
    b"${oc.env:NO_SUCH_VARIABLE}", b"${x}", b"!!python/none", b"~", b"/etc", b"a\\b", b"00:00:99",
)  # fmt: skip
_PIECES = (*_VALUES, b",", b"\n", b"\r\n", b";", b"\t", b":", b"}", b"]", b",,", b"\xff\xfe")
_ENCODINGS = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "cp1252")


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Return bytes with one to three things wrong; now and then in another encoding."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        data = rng.choice((_value, _value, _value, _line, _byte, _cut, _repeat, _insert))(data, rng)
    if rng.random() < 0.1:
        data = data.decode("utf-8", "replace").encode(rng.choice(_ENCODINGS), "replace")
    return data


def damaged(data: bytes, rng: random.Random) -> bytes:
    """Return the bytes of a binary file with some wrong, cut off or repeated."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        data = rng.choice((_byte, _byte, _byte, _cut, _repeat))(data, rng)
    return data


def _value(data: bytes, rng: random.Random) -> bytes:
    found = list(_VALUE.finditer(data))
    if not found:
        return data
    place = rng.choice(found)
    return data[: place.start()] + rng.choice(_VALUES) + data[place.end() :]


def _line(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    line = rng.randrange(len(lines))
    lines[line] = rng.choice((b"", lines[line] + b",x", lines[line][: len(lines[line]) // 2]))
    return b"\n".join(lines)


def _byte(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]


def _cut(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.choice((1, 4, len(data))) :]


def _repeat(data: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start : start + rng.randrange(1, 64)] + data[start:]


def _insert(data: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(data) + 1)
    return data[:place] + rng.choice(_PIECES) + data[place:]
