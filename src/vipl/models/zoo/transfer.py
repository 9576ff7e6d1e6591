"""One file over HTTP, into a part that a later call goes on with: of the same file, or anew.

What the server says of the file when a download begins (its ETag, its date, its length) is noted
beside the part. A later call asks for the rest of that file (RFC 9110, If-Range), and believes the
answer only where it says the same of it.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from vipl._version import __version__
from vipl.console import Console
from vipl.files import write_atomically

_CHUNK = 1 << 20
_TIMEOUT_S = 30


@dataclass(frozen=True)
class Version:
    """What a server says of a file, None where it does not say.

    Attributes:
        etag: Its entity tag, if that is a strong one: a weak one may be of other bytes.
        last_modified: Its date.
        size_bytes: Its whole length.
    """

    etag: str | None
    last_modified: str | None
    size_bytes: int | None

    @property
    def validator(self) -> str | None:
        """What tells it from another version, as If-Range takes it."""
        return self.etag or self.last_modified

    def agrees(self, other: "Version") -> bool:
        """Whether two answers may be about the same bytes: nothing that both say differs."""
        pairs = zip(asdict(self).values(), asdict(other).values(), strict=True)
        return all(one == another for one, another in pairs if None not in (one, another))


def download(url: str, part: Path, title: str, *, verified: bool) -> None:
    """Bring a whole file to `part`, or leave there what came of it.

    Args:
        url: Of the file.
        part: Where it goes; what an earlier call left there is gone on with if it is of the same
            file.
        title: Of the progress bar.
        verified: Whether the caller knows the file's hash: then a server that names neither tag nor
            date may go on as well.

    Raises:
        urllib.error.URLError, HTTPException, TimeoutError, ConnectionError: If it cannot be had, or
            was cut off.
        OSError: If it cannot be written.
    """
    before = _left(part, url)
    if before is not None and (before.validator or verified):
        have = part.stat().st_size
        if have and have == before.size_bytes:
            return
        if have and _go_on(url, part, title, before, have):
            return
    with _open(url) as response:
        _write_whole(response, url, part, title)


def discard(part: Path) -> None:
    """Remove a part, and what is noted of it."""
    for path in (part, _note(part)):
        path.unlink(missing_ok=True)


def finish(part: Path, path: Path) -> None:
    """Give a part that is whole its name."""
    part.replace(path)
    _note(part).unlink(missing_ok=True)


def _go_on(url: str, part: Path, title: str, before: Version, have: int) -> bool:
    """Fetch what is missing; return whether the part is whole now, and not to be fetched anew."""
    headers = {"Range": f"bytes={have}-"}
    if before.validator:
        headers["If-Range"] = before.validator
    try:
        response = _open(url, headers)
    except urllib.error.HTTPError as error:
        with error:
            if error.code != 416:
                raise
            # There is no more: it is whole if the server counts as many bytes of the same file.
            answer = _version(error.headers, _total(error.headers, None))
            return answer.size_bytes == have and before.agrees(answer)
    with response:
        if response.status != 206:  # another file, or a server that does not know parts
            _write_whole(response, url, part, title)
            return True
        total = _total(response.headers, have)
        if _first(response.headers, have) != have or not before.agrees(
            _version(response.headers, total)
        ):
            return False
        _write(response, part, title, have=have, total=total)
    return True


def _open(url: str, headers: Mapping[str, str] | None = None) -> Any:
    own = {"User-Agent": f"vipl/{__version__}", **(headers or {})}
    return urllib.request.urlopen(urllib.request.Request(url, headers=own), timeout=_TIMEOUT_S)


def _write_whole(response: Any, url: str, part: Path, title: str) -> None:
    discard(part)
    length = response.headers.get("Content-Length")
    total = int(length) if length and length.isdecimal() else None
    note = {"url": url, **asdict(_version(response.headers, total))}
    write_atomically(_note(part), lambda file: file.write_text(json.dumps(note) + "\n"))
    _write(response, part, title, have=0, total=total)


def _write(response: Any, part: Path, title: str, *, have: int, total: int | None) -> None:
    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn()
    done = have
    with (
        part.open("ab" if have else "wb") as file,
        Progress(*columns, console=Console(stderr=True)) as progress,
    ):
        task = progress.add_task(title, total=total, completed=have)
        while chunk := response.read(_CHUNK):
            file.write(chunk)
            done += len(chunk)
            progress.update(task, completed=done)
    if total is not None and done < total:
        raise ConnectionError(f"cut off after {done} of {total} bytes; a second call goes on")


def _version(headers: Any, size_bytes: int | None) -> Version:
    etag = headers.get("ETag")
    strong = etag if etag and etag.startswith('"') else None
    return Version(strong, headers.get("Last-Modified"), size_bytes)


def _total(headers: Any, have: int | None) -> int | None:
    """Return a file's whole length as the answer to a request for its rest tells it."""
    if told := re.fullmatch(r"bytes (?:\d+-\d+|\*)/(\d+)", headers.get("Content-Range", "")):
        return int(told[1])
    length = headers.get("Content-Length", "")
    return have + int(length) if have is not None and length.isdecimal() else None


def _first(headers: Any, asked: int) -> int | None:
    """Return the first byte of a part: what was asked for where the server does not say."""
    said = headers.get("Content-Range")
    if said is None:
        return asked
    told = re.match(r"bytes (\d+)-", said)
    return int(told[1]) if told else None


def _note(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _left(part: Path, url: str) -> Version | None:
    """Return what is noted of a part, None where there is none, or one of another address."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        note = json.loads(_note(part).read_text())
        if note.pop("url") == url and part.is_file():
            return Version(**note)
    return None
