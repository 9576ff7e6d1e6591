"""Exact random access with PyAV: what decord does, for every container and codec.

Frames are found by the time at which they are shown. A seek is believed only when it lands on a
key frame at or before the one asked for and the decoder then delivers that very key frame;
otherwise the video is read from its start. Where times or seek tables cannot be trusted (MPEG-TS,
AVI), frames are always counted from the start.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import PictureType, VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vipl.data.decoding import containers
from vipl.data.decoding.containers import VideoError
from vipl.data.decoding.display.conversion import Converter
from vipl.data.decoding.frames import decode, decoder_of, packets

# Packets that are cheaper to decode than a seek, which restarts the decoder.
_SEEK_PAYS_PACKETS = 8
_SEEK_ATTEMPTS = 3


class PyAVFile:
    """One open video.

    Args:
        path: The video file.
        size: Width and height in pixels, as displayed, to resize to.
        tone_map: As for `vipl.data.decoding.video.VideoReader`.

    Raises:
        VideoError: The file is no video.
    """

    def __init__(self, path: Path, size: tuple[int, int], *, tone_map: bool = False) -> None:
        self._path = path
        self._timeline = containers.timeline(path)
        self._to_rgb = Converter(size, containers.header(path).display, tone_map=tone_map)
        self._seekable = self._timeline.seekable
        self._container: InputContainer | None = None
        self._frames: Iterator[tuple[int, VideoFrame]]
        self._rewind()

    @property
    def num_frames(self) -> int:
        """Frames that the container shows."""
        return self._timeline.num_frames

    def close(self) -> None:
        """Close the file."""
        if self._container is not None:
            self._container.close()
            self._container = None

    def read(self, indices: Sequence[int]) -> NDArray[np.uint8]:
        """Decode frames; `indices` ascend. Returns uint8 [N, H, W, 3] RGB.

        Raises:
            VideoError: A frame cannot be decoded.
        """
        with containers.errors_of(self._path):
            return np.stack([self._to_rgb(self._find(index)) for index in indices])

    def survey(self, indices: Sequence[int]) -> tuple[dict[int, NDArray[np.uint8]], list[int]]:
        """Decode the whole video from its start.

        Returns:
            The frames asked for that can be decoded, uint8 [H, W, 3], and the numbers of all that
            can be decoded.
        """
        self._rewind()
        wanted = set(indices)
        images: dict[int, NDArray[np.uint8]] = {}
        decoded: list[int] = []
        with containers.errors_of(self._path):
            for number, frame in self._frames:
                decoded.append(number)
                if number in wanted:
                    images[number] = self._to_rgb(frame)
        self._next = self.num_frames
        return images, decoded

    def last_frame(self) -> int:
        """Return the number of the last frame that can be decoded, -1 for none at the end."""
        self._move_to(self.num_frames - 1)
        last = max((number for number, _ in self._frames), default=-1)
        self._next = self.num_frames
        return last

    def _find(self, index: int) -> VideoFrame:
        frame = self._advance(index)
        if frame is None and not self._from_start:
            self._seekable = False
            self._rewind()
            frame = self._advance(index)
        if frame is None:
            raise VideoError(
                f"{self._path}: frame {index} cannot be decoded: the video is damaged."
            )
        return frame

    def _advance(self, index: int) -> VideoFrame | None:
        """Decode up to frame `index`; `None` where it does not come."""
        if index < self._next or (self._seekable and self._seek_pays(index)):
            self._move_to(index)
        for number, frame in self._frames:
            self._next = number + 1
            if number >= index:
                return frame if number == index else None
        self._next = self.num_frames
        return None

    def _seek_pays(self, index: int) -> bool:
        key = self._timeline.keys[self._timeline.key_of(index)]
        here = self._timeline.positions[self._next - 1] if self._next else 0
        return bool(key > here + _SEEK_PAYS_PACKETS)

    def _move_to(self, index: int) -> None:
        rank = self._timeline.key_of(index) if self._seekable else 0
        if rank == 0 or not self._seek(rank):
            self._rewind()

    def _rewind(self) -> None:
        """Open the file anew: the one way to the first frame that always works."""
        self.close()
        self._container, self._stream = containers.open_video(self._path)
        self._decoder = decoder_of(self._stream)
        frames = decode(packets(self._container, self._stream), self._decoder)
        if self._timeline.seekable:
            timed = ((self._timeline.index_at(frame.pts), frame) for frame in frames)
            self._frames = ((number, frame) for number, frame in timed if number is not None)
        else:
            self._frames = iter(enumerate(frames))
        self._next = 0
        self._from_start = True

    def _seek(self, rank: int) -> bool:
        """Go to the key frame of this rank, or to one before it; False where that fails."""
        assert self._container is not None
        keys, times = self._timeline.keys, self._timeline.times
        for attempt in range(rank, max(rank - _SEEK_ATTEMPTS, -1), -1):
            self._container.seek(int(times[keys[attempt]]), stream=self._stream)
            self._decoder.flush_buffers()
            source = packets(self._container, self._stream)
            first = next(source, None)
            if first is None or first.pts is None:
                continue
            landed = int(np.flatnonzero(times == first.pts)[:1].sum(initial=0))
            if times[landed] == first.pts and landed <= keys[rank]:
                self._frames = self._after_seek(itertools.chain([first], source), landed)
                self._next = self._timeline.index_from(first.pts)
                self._from_start = False
                return True
        return False

    def _after_seek(
        self, source: Iterator[Packet[VideoStream]], landed: int
    ) -> Iterator[tuple[int, VideoFrame]]:
        """Number the frames that follow a key frame; stop at once where it is not a clean start."""
        line = self._timeline
        start = int(line.times[landed])
        # Pictures shown before the key frame refer to what the seek has skipped.
        frames = (f for f in decode(source, self._decoder) if f.pts is not None and f.pts >= start)
        for count, frame in enumerate(frames):
            number = line.index_at(frame.pts)
            if count == 0:
                intra = frame.pts != start or frame.pict_type == PictureType.I
                # A "key frame" that is none (intra refresh) comes late, or is predicted.
                if number != line.index_from(start) or not intra:
                    return
            if number is not None:
                yield number, frame
