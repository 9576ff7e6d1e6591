"""Encoders on a Hugging Face hub: three files that go up in one commit and come down together."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import huggingface_hub
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from vipl._version import __version__
from vipl.errors import UserError

PREFIX = "hf:"
"""What `load_encoder` knows a hub's encoder by: hf:OWNER/NAME, or hf:OWNER/NAME@REVISION."""

FILES = ("config.json", "model.safetensors", "README.md")
"""All that is sent and fetched: nothing that anybody could have pickled."""

_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./-]*")

# What the hub's HTTP client raises where no answer came; which client, depends on the version.
_CLIENT_ERROR = cast("type[Exception]", HfHubHTTPError.__mro__[1])

_DISK_ERRNOS = {errno.EACCES, errno.EDQUOT, errno.ENOSPC, errno.EPERM, errno.EROFS}

_LOG_IN = "log in by `hf auth login`, or set HF_TOKEN"


def upload(
    folder: Path, repository: str, *, private: bool = False, endpoint: str | None = None
) -> str:
    """Send an encoder's files to a hub, in one commit; the repository is made where there is none.

    Args:
        folder: That holds `FILES`.
        repository: OWNER/NAME.
        private: Make the repository private; one that is there stays as it is.
        endpoint: Of the hub; by default that of HF_ENDPOINT, else huggingface.co.

    Returns:
        The address of the commit.

    Raises:
        UserError: If the hub refuses, or does not answer.
    """
    _check_name(repository)
    api = huggingface_hub.HfApi(
        endpoint=_endpoint(endpoint), library_name="vipl", library_version=__version__
    )
    operations = [huggingface_hub.CommitOperationAdd(name, str(folder / name)) for name in FILES]
    with _explained(repository, "an encoder is pushed with a token that may write there"):
        # None leaves it to the owner's settings.
        api.create_repo(repository, private=private or None, exist_ok=True)
        done = api.create_commit(
            repository, operations, commit_message=f"Encoder, pushed by vipl {__version__}"
        )
    return str(done.commit_url)


def download(repository: str, *, revision: str | None = None, endpoint: str | None = None) -> Path:
    """Fetch an encoder's files, once for each commit; they stay in the hub's own cache.

    Without a connection, those that are there are used.

    Args:
        repository: OWNER/NAME.
        revision: Branch, tag or commit; by default "main".
        endpoint: Of the hub; by default that of HF_ENDPOINT, else huggingface.co.

    Returns:
        A folder with those of `FILES` that the repository has; only to be read.

    Raises:
        UserError: If the hub has no such encoder, refuses, or does not answer.
    """
    _check_name(repository)
    if revision is not None and not _REVISION.fullmatch(revision):
        raise UserError(f"{revision!r} is no revision: name a branch, a tag or a commit")
    with _explained(repository, "a private one needs a token that may read it"):
        folder = huggingface_hub.snapshot_download(
            repository,
            revision=revision,
            endpoint=_endpoint(endpoint),
            allow_patterns=list(FILES),
            library_name="vipl",
            library_version=__version__,
        )
    return Path(folder)


def _endpoint(named: str | None) -> str | None:
    """Return the hub's address; None is for the client to choose."""
    return named or os.environ.get("HF_ENDPOINT") or None


def _check_name(repository: str) -> None:
    if not _NAME.fullmatch(repository):
        raise UserError(f"{repository!r} names no repository of a hub: expected OWNER/NAME")


@contextmanager
def _explained(repository: str, need: str) -> Iterator[None]:
    """Say in one sentence what a hub refuses.

    Args:
        repository: OWNER/NAME.
        need: What the access that was tried takes.
    """
    try:
        yield
    except (HFValidationError, OSError, ValueError, _CLIENT_ERROR) as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRNOS:
            raise  # of the cache, not of the hub
        raise UserError(_reason(error, repository, need)) from error


def _reason(error: BaseException, repository: str, need: str) -> str:
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    said = _first_line(error)
    if isinstance(error, RevisionNotFoundError):
        return f"{repository} has no such revision on the hub: name a branch, a tag or a commit"
    if isinstance(error, GatedRepoError) or status == 403:
        return f"the hub refuses access to {repository} ({said}): {need}; {_LOG_IN}"
    if isinstance(error, RepositoryNotFoundError) or status in (401, 404):
        return (
            f"the hub has no {repository}, or does not show it to you (status {status}): look at "
            f"the name; {need}: {_LOG_IN}"
        )
    if status is not None or isinstance(error, (HFValidationError, ValueError)):
        return f"the hub refuses {repository}: {said}"
    if isinstance(error, EntryNotFoundError):  # neither the hub nor the cache has it
        return (
            f"{repository} is not in the cache, and the hub cannot be reached: connect (and "
            "unset HF_HUB_OFFLINE), or name another hub by HF_ENDPOINT"
        )
    return (
        f"the hub cannot be reached for {repository} ({said}): connect, or name another by "
        "--endpoint or HF_ENDPOINT"
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]
