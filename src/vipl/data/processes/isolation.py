"""Decoding in a child process, so that a video can hang or crash only the child.

decord 0.6.0 loops for ever on some videos whose edit list discards frames, and heeds no signal that
Python handles; FFmpeg can crash. Parent and child talk over a socket pair: a JSON header and the
raw bytes of an array, no pickle. The child imports no torch and starts in about 0.3 s.

Shapes: N frames asked for, H x W pixels, S the side of a cropped image.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import Backend, VideoError
from vipl.data.processes.child import ERRORS, receive, send
from vipl.processes.children import how_it_ended
from vipl.processes.signals import shielded

_START_TIMEOUT_S = 120.0
# decord leaks some memory with every reader: the child is replaced now and then.
_CALLS_PER_CHILD = 4000
_CHILD = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
sys.path.append(sys.argv[2])
from vipl.data.processes.child import serve
serve(int(sys.argv[1]))
"""

_living: weakref.WeakSet[DecoderProcess] = weakref.WeakSet()


class VideoTimeoutError(VideoError):
    """A video that did not decode in the time that it had."""


class _CrashError(Exception):
    """The child ended without an answer; says how."""


class DecoderProcess:
    """A decoder in a child process, started at the first call and again after it was lost.

    Not for use by several threads at once. In a forked process (a DataLoader worker) it starts a
    child of its own; pickled, it leaves its child behind.

    Args:
        timeout_s: Seconds that one call may take, before the child is killed.

    Attributes:
        spent_s: Seconds that the child spent on the images of the last call: "decode" and
            "resample".
    """

    def __init__(self, *, timeout_s: float = 30.0) -> None:
        self.timeout_s = timeout_s
        self.spent_s: dict[str, float] = {}
        self._child: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._calls = 0
        _living.add(self)

    def __getstate__(self) -> dict[str, object]:
        return {"timeout_s": self.timeout_s}

    def __setstate__(self, state: dict[str, float]) -> None:
        self.__init__(timeout_s=state["timeout_s"])  # type: ignore[misc]

    def __enter__(self) -> DecoderProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    @property
    def pid(self) -> int | None:
        """Process number of the child, `None` while there is none."""
        return None if self._child is None else self._child.pid

    def probe(self, path: str | Path) -> VideoInfo:
        """Call `vipl.data.decoding.probe.probe` in the child.

        Where decord hangs or crashes, PyAV is tried alone, with the same time-out again.

        Raises:
            VideoError: As `probe` does, or PyAV hung or crashed as well.
        """
        request = {"call": "probe", "path": str(path)}
        try:
            reply, _ = self._call({**request, "try_decord": True})
            return VideoInfo(**reply["info"])
        except VideoError as error:
            if self._child is not None:  # it answered: the file itself is at fault
                raise
            reason = str(error).removeprefix(f"{path}: ").rstrip(".")
        reply, _ = self._call({**request, "try_decord": False})
        return replace(VideoInfo(**reply["info"]), note=f"decord {reason}")

    def glance(self, path: str | Path) -> VideoInfo:
        """Call `vipl.data.decoding.probe.glance` in the child.

        Raises:
            VideoError: As `glance` does, or the decoder hung or crashed.
        """
        reply, _ = self._call({"call": "glance", "path": str(path)})
        return VideoInfo(**reply["info"])

    def read(
        self,
        path: str | Path,
        indices: Sequence[int],
        *,
        backend: Backend = "auto",
        short_side: int | None = None,
        keep_open: bool = False,
    ) -> NDArray[np.uint8]:
        """Call `VideoReader.read` in the child.

        Args:
            path: The video file.
            indices: Frame numbers.
            backend: As for `VideoReader`.
            short_side: As for `VideoReader`, in pixels.
            keep_open: Whether the decoder stays where it is, for a next call that goes on there.

        Returns:
            uint8 [N, H, W, 3] RGB, in the order of `indices`.

        Raises:
            VideoError: As `VideoReader` does, or the decoder hung or crashed.
            UserError: The backend is not installed, or `short_side` is not positive.
        """
        options = {"backend": backend, "short_side": short_side, "keep_open": keep_open}
        return self._images("read", path, indices, **options)

    def sample(
        self,
        path: str | Path,
        indices: Sequence[int],
        *,
        crop: Mapping[str, object],
        backend: Backend = "auto",
        short_side: int | None = None,
    ) -> NDArray[np.uint8]:
        """Decode frames and crop them in the child, so that only small images travel.

        Args:
            path: The video file.
            indices: Frame numbers.
            crop: Keyword arguments of `augment.crop_and_resize` (numbers, strings and
                tuples of them).
            backend: As for `VideoReader`.
            short_side: As for `VideoReader`, in pixels.

        Returns:
            uint8 [N, 3, S, S] RGB, in the order of `indices`.

        Raises:
            VideoError: As `VideoReader` does, or the decoder hung or crashed.
            UserError: The backend is not installed, or `short_side` is not positive.
        """
        return self._images(
            "sample", path, indices, backend=backend, short_side=short_side, crop=dict(crop)
        )

    def transcode(self, path: str | Path, numbers: Sequence[int], **options: Any) -> list[Any]:
        """Call `transcode.transcode` in the child; return what it has `Written`.

        Raises:
            VideoError: As `transcode` does, or the decoder hung or crashed.
            OSError: The output cannot be written.
        """
        request = {"call": "transcode", "path": str(path), "numbers": list(numbers), **options}
        reply, _ = self._call({**request, "out": str(options["out"])})
        return [*reply["written"]]

    def close(self) -> None:
        """End the child."""
        if (child := self._detach()) is not None:
            child.kill()
            child.wait()

    def _images(
        self, call: str, path: str | Path, indices: Sequence[int], **options: object
    ) -> NDArray[np.uint8]:
        numbers = [int(index) for index in indices]
        request = {"call": call, "path": str(path), "indices": numbers, **options}
        reply, data = self._call(request)
        self.spent_s = reply["spent_s"]
        images: NDArray[np.uint8] = np.frombuffer(data, np.uint8).reshape(reply["shape"])
        return images

    def _call(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        # A child that was lost before this call (killed for memory, say) must not change what
        # the call gives: only a second crash is the video's.
        with contextlib.suppress(_CrashError):
            return self._call_once(request)
        try:
            return self._call_once(request)
        except _CrashError as crash:
            raise VideoError(f"{request['path']}: crashed the decoder ({crash}).") from crash

    def _call_once(self, request: dict[str, Any]) -> tuple[dict[str, Any], bytearray]:
        if self._calls >= _CALLS_PER_CHILD:
            self.close()
        connection = self._start()
        self._calls += 1
        try:
            deadline = time.monotonic() + self.timeout_s
            send(connection, {**request, "timeout_s": self.timeout_s}, deadline=deadline)
            reply, data = receive(connection, deadline=deadline)
        except TimeoutError:
            self.close()
            raise VideoTimeoutError(
                f"{request['path']}: did not decode within {self.timeout_s:g} s."
            ) from None
        except (EOFError, OSError) as error:
            raise _CrashError(self._fate()) from error
        except BaseException:  # interrupted half-way: what comes next would answer this call
            self.close()
            raise
        if reply.get("kind") == "OSError":
            raise OSError(reply["errno"], reply["error"], request.get("out"))
        if "error" in reply:
            raise ERRORS[reply["kind"]](reply["error"])
        return reply, data

    def _start(self) -> socket.socket:
        if self._socket is not None:
            return self._socket
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).parents[3])
        with theirs, shielded():
            self._child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, str(theirs.fileno()), root],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )
        self._socket, self._calls = ours, 0
        try:
            receive(ours, deadline=time.monotonic() + _START_TIMEOUT_S)
        except (EOFError, OSError) as error:
            fate = "it was too slow" if isinstance(error, TimeoutError) else self._fate()
            self.close()
            raise RuntimeError(f"The decoding process did not start ({fate}).") from error
        return ours

    def _fate(self) -> str:
        """Drop a child that has closed its end; say how it ended."""
        child = self._detach()
        assert child is not None
        try:
            code = child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        return how_it_ended(code)

    def _detach(self) -> subprocess.Popen[bytes] | None:
        child, self._child = self._child, None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        return child


def _forget_children() -> None:
    """In a forked process: let go of the parent's children, which are not ours to end."""
    for decoder in list(_living):
        if (child := decoder._detach()) is not None:
            child.returncode = 0


os.register_at_fork(after_in_child=_forget_children)
