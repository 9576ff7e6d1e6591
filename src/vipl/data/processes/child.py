"""What runs in a decoding process, and the messages that it exchanges with its parent.

A message is a JSON header and the raw bytes of one uint8 array: no pickle. Nothing here imports
torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.probe import VideoInfo, glance, probe
from vipl.data.decoding.video import VideoError, VideoReader
from vipl.errors import UserError
from vipl.processes.allocator import bound_freed_memory

ERRORS: dict[str, type[Exception]] = {
    "VideoError": VideoError,
    "UserError": UserError,
    "RuntimeError": RuntimeError,
}

_PREFIX = struct.Struct("!IQ")  # bytes of the JSON header, bytes of the array
# The kernel ends a child that hangs although its parent has died before it could.
_ORPHAN_GRACE_S = 2.0

_readers: dict[tuple[object, ...], VideoReader] = {}  # one at most


def serve(descriptor: int) -> None:
    """Answer calls over a socket until the other side closes it. Runs in the child."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    bound_freed_memory()
    connection = socket.socket(fileno=descriptor)
    null = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):  # FFmpeg and decord print whatever they like
        os.dup2(null, standard)
    send(connection, {"ready": True})
    while True:
        try:
            request, _ = receive(connection)
        except (EOFError, OSError):
            return
        # Default action of SIGALRM: the kernel ends the process, whatever holds Python's lock.
        signal.setitimer(signal.ITIMER_REAL, request.pop("timeout_s") + _ORPHAN_GRACE_S)
        reply, data = _answer(request)
        try:
            send(connection, reply, data)
        except OSError:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)


def _answer(request: dict[str, Any]) -> tuple[dict[str, Any], NDArray[np.uint8] | None]:
    try:
        start = time.perf_counter()
        if request["call"] == "transcode":
            return {"written": _transcoded(request)}, None
        result = _decoded(request)
        if isinstance(result, VideoInfo):
            return {"info": asdict(result)}, None
        images = result
        decoded = time.perf_counter()
        if request["call"] == "sample":
            from vipl.data.processes.augment import crop_and_resize

            images = crop_and_resize(images, **_crop_arguments(request["crop"]))
        spent_s = {"decode": decoded - start, "resample": time.perf_counter() - decoded}
        return {"shape": images.shape, "spent_s": spent_s}, images
    except OSError as error:  # the disk's refusal to take what was made, no fault of the video
        return {"kind": "OSError", "errno": error.errno, "error": str(error.strerror)}, None
    except Exception as error:
        kind = next((name for name, type_ in ERRORS.items() if isinstance(error, type_)), "")
        text = str(error) if kind else f"{type(error).__name__}: {error}"
        return {"kind": kind or "RuntimeError", "error": text}, None


def _transcoded(request: Mapping[str, Any]) -> tuple[int, float]:
    from vipl.data.encoding.transcode import transcode

    options = {name: value for name, value in request.items() if name != "call"}
    with _blamed_on(request["path"], except_for=(UserError, OSError)):
        return transcode(**{**options, "out": Path(request["out"])})


def _crop_arguments(crop: Mapping[str, Any]) -> dict[str, Any]:
    """Give JSON's lists back the type that they had."""
    return {name: tuple(x) if isinstance(x, list) else x for name, x in crop.items()}


def _decoded(request: Mapping[str, Any]) -> VideoInfo | NDArray[np.uint8]:
    path = request["path"]
    with _blamed_on(path, except_for=(UserError,)):
        if request["call"] == "probe":
            return probe(path, try_decord=request["try_decord"])
        if request["call"] == "glance":
            return glance(path)
        options = {name: request[name] for name in ("backend", "short_side")}
        if request.get("keep_open"):
            return _kept(path, options).read(request["indices"])
        with VideoReader(path, **options) as reader:
            return reader.read(request["indices"])


def _kept(path: str, options: Mapping[str, Any]) -> VideoReader:
    """Return the reader of the last call that wanted it kept, or another in its place."""
    key = (path, *options.values())
    if key not in _readers:
        while _readers:
            _readers.popitem()[1].close()
        _readers[key] = VideoReader(path, **options)
    return _readers[key]


@contextlib.contextmanager
def _blamed_on(path: str, *, except_for: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn whatever an odd video provokes into a fault of the video."""
    try:
        yield
    except except_for:
        raise
    except Exception as error:
        raise VideoError(f"{path}: {type(error).__name__}: {error}") from error


def send(
    connection: socket.socket,
    header: Mapping[str, object],
    data: NDArray[np.uint8] | None = None,
    *,
    deadline: float | None = None,
) -> None:
    """Send one message; `deadline` in seconds of `time.monotonic`.

    Raises:
        TimeoutError: The deadline passed.
        OSError: The other side is gone.
    """
    text = json.dumps(header).encode()
    payload = b"" if data is None or not data.size else np.ascontiguousarray(data).data.cast("B")
    connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
    connection.sendall(_PREFIX.pack(len(text), len(payload)) + text)
    connection.sendall(payload)


def receive(
    connection: socket.socket, *, deadline: float | None = None
) -> tuple[dict[str, Any], bytearray]:
    """Receive one message: its header and the bytes of its array.

    Raises:
        TimeoutError: The deadline passed, in seconds of `time.monotonic`.
        EOFError: The other side has closed the connection.
        OSError: The other side is gone.
    """
    header_bytes, data_bytes = _PREFIX.unpack(_exactly(connection, _PREFIX.size, deadline))
    header = json.loads(_exactly(connection, header_bytes, deadline))
    return header, _exactly(connection, data_bytes, deadline)


def _exactly(connection: socket.socket, size_bytes: int, deadline: float | None) -> bytearray:
    buffer = bytearray(size_bytes)
    view = memoryview(buffer)
    while view:
        connection.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
        received = connection.recv_into(view)
        if not received:
            raise EOFError
        view = view[received:]
    return buffer
