"""The frames of many videos, decoded and preprocessed by several processes.

A process takes the next video when it is done with one, and reads it from one end to the other in
pieces, so that no more of it than a piece is ever in memory.

Shapes: N frames of a piece, S the network's input side, in pixels.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from vipl.data.checking.bad_clips import BadClip
from vipl.data.decoding.presentation import shown_at
from vipl.data.decoding.probe import VideoInfo
from vipl.data.decoding.video import VideoError
from vipl.data.loading.video_inputs import OpenVideo, Video
from vipl.data.processes.isolation import DecoderProcess

PIECE_FRAMES = 16
"""Frames of a piece, at most."""
_PIECE_BYTES = 2**26  # of decoded frames
# Frames that a decoder may have to go through for one piece, where most are passed over.
_PIECE_REACH = 512


@dataclass(frozen=True)
class Choice:
    """Which frames of a video are embedded.

    Attributes:
        every: Every so manyth, from the first on.
        fps_hz: So many a second in place of that, by the times at which they are shown; all where
            the video has fewer.
    """

    every: int = 1
    fps_hz: float | None = None

    def step(self, info: VideoInfo) -> float:
        """Return the distance from one frame to the next, in frames of the video, at least 1.

        Raises:
            VideoError: If frames a second are asked for and the video's are unknown.
        """
        if self.fps_hz is None:
            return float(self.every)
        if not info.fps_hz > 0:
            raise VideoError("its frames a second are unknown: choose frames by --every")
        return max(1.0, info.fps_hz / self.fps_hz)

    def times(self, info: VideoInfo) -> NDArray[np.int64]:
        """Return the frames, counted from the clip's first.

        Raises:
            VideoError: As `step` does.
        """
        step = self.step(info)
        if self.fps_hz is not None and info.times_s:
            return shown_at(info.times_s, self.fps_hz)
        times = np.arange(0, info.num_frames, step)
        return np.asarray(np.floor(times + 1e-6), dtype=np.int64)

    def __str__(self) -> str:
        return f"every {self.every}" if self.fps_hz is None else f"{self.fps_hz:g} a second"


class Piece(NamedTuple):
    """Frames of a video that follow each other.

    Attributes:
        clip: The video's position among all.
        first: The position of the first frame among those of the video that are embedded.
        numbers: int64 [N], the frames' numbers in their file.
        seconds: float64 [N], their times in it, NaN where unknown.
        images: uint8 [N, 3, S, S], preprocessed.
        is_last: Whether the video ends here.
        failure: Why the video cannot be read (any further); N is 0 then.
    """

    clip: int
    first: int
    numbers: NDArray[np.int64]
    seconds: NDArray[np.float64]
    images: Tensor
    is_last: bool
    failure: BadClip | None = None

    def without_images(self) -> "Piece":
        """Return what there is to say of them."""
        return self._replace(images=self.images[:0].clone())


class Frames(IterableDataset[Piece]):
    """Pieces of videos; processes share the videos out among themselves as they go.

    Args:
        videos: All.
        todo: Positions of those that are read, each with the number of its frames that are passed
            over, because they were done before.
        choice: Of frames.
        preprocess: Brings uint8 [N, 3, H, W] of any size to [N, 3, S, S].
        timeout_s: Seconds that one piece may take.
    """

    def __init__(
        self,
        videos: Sequence[Video],
        todo: Mapping[int, int],
        choice: Choice,
        preprocess: Callable[[Tensor], Tensor],
        *,
        timeout_s: float,
    ) -> None:
        self.videos = videos
        self.todo = list(todo.items())
        self.choice = choice
        self.preprocess = preprocess
        self.timeout_s = timeout_s
        self._taken: Any = multiprocessing.Value("q", 0)

    def __iter__(self) -> Iterator[Piece]:
        """Yield the pieces of the videos that this process takes."""
        with DecoderProcess(timeout_s=self.timeout_s) as process:
            while (turn := self._take()) < len(self.todo):
                clip, done = self.todo[turn]
                video = self.videos[clip]
                try:
                    yield from self._pieces(clip, done, video, process)
                except VideoError as error:
                    bad = BadClip(video.name, video.path, _of(video, str(error)))
                    yield Piece(clip, done, *_no_frames(), True, bad)

    def _take(self) -> int:
        with self._taken.get_lock():
            turn = int(self._taken.value)
            self._taken.value = turn + 1
        return turn

    def _pieces(
        self, clip: int, done: int, video: Video, process: DecoderProcess
    ) -> Iterator[Piece]:
        opened = video.open_to_stream(process)
        times = self.choice.times(opened.info)
        if not len(times):
            raise VideoError(f"{video.file}: it has no frame")
        size = _piece_frames(opened.info, self.choice.step(opened.info))
        for first in range(done, len(times), size):
            part = times[first : first + size].tolist()
            images = self._read(opened, part)
            last = first + size >= len(times)
            numbers, seconds = opened.numbers(part), opened.seconds(part)
            yield Piece(clip, first, np.array(numbers), np.array(seconds), images, last)
        if done >= len(times):
            yield Piece(clip, done, *_no_frames(), True)

    def _read(self, opened: OpenVideo, times: Sequence[int]) -> Tensor:
        """Return uint8 [N, 3, S, S]."""
        parts = opened.read_uneven(times)
        return torch.cat([self.preprocess(torch.from_numpy(p).permute(0, 3, 1, 2)) for p in parts])


def _piece_frames(info: VideoInfo, step: float) -> int:
    by_memory = _PIECE_BYTES // max(1, 3 * info.width * info.height)
    return max(1, min(PIECE_FRAMES, by_memory, int(_PIECE_REACH // step)))


def _no_frames() -> tuple[NDArray[np.int64], NDArray[np.float64], Tensor]:
    return np.empty(0, np.int64), np.empty(0), torch.empty(0, dtype=torch.uint8)


def _of(video: Video, reason: str) -> str:
    """Let a reason name its file."""
    return reason if str(video.file.parent) in reason else f"{video.file}: {reason}"
