"""What a video file holds, and whether decord can be trusted with it.

Shapes: H and W are the height and width in pixels as displayed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vipl.data.decoding import containers
from vipl.data.decoding.containers import Timeline, VideoError
from vipl.data.decoding.decord_file import DecordFile, has_decord, unfit
from vipl.data.decoding.frame_archive import FrameArchive, is_archive
from vipl.data.decoding.frame_folder import frame_numbers, is_frame_folder
from vipl.data.decoding.presentation import Rhythm, rhythm
from vipl.data.decoding.pyav_file import PyAVFile
from vipl.data.decoding.video import header, target_size

# What probe spends: pixels decoded in full (about a second), and where decord is put to the test.
_SURVEY_PIXELS = 4e8
_PROBE_MAX_SIDE = 128
_PROBE_MIN_WIDTH = 80
_PROBE_KEYS = 6
_PROBE_SPREAD = 6
# Both decoders give equal bytes at reduced size; a wrong frame differs by more, in grey levels.
_SAME_PICTURE = 0.5


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """What a video file holds.

    Attributes:
        num_frames: Frames that can be asked for.
        fps_hz: Mean frame rate in frames per second; 0 where the file does not tell.
        width: Width in pixels as displayed: turned, with square pixels.
        height: Height in pixels as displayed.
        decoder: "any", or "pyav" where decord cannot be trusted with this file.
        note: Why decord cannot be trusted, and what is damaged; else "".
        remark: What a user should know of its pictures, as that they are HLG; else "".
        times_s: As of a `presentation.Rhythm`: when each frame is shown, and when the
            last one ends, where they are not evenly spaced; else empty.
    """

    num_frames: int
    fps_hz: float
    width: int
    height: int
    decoder: Literal["any", "pyav"]
    note: str = ""
    remark: str = ""
    times_s: list[float] = field(default_factory=list)


def probe(path: str | Path, *, try_decord: bool = True) -> VideoInfo:
    """Count the frames of a video truthfully and find out whether decord can be trusted with it.

    All packets are read. A short video (4e8 pixels: 430 frames of 1280x720) is decoded once from
    start to end. Of a longer one only the end is decoded, to see that the last frame exists, and
    the spans that follow. decord must count the same frames, count none that the container
    discards, and give PyAV's pictures after six key frames (where random access goes wrong) and
    at six frames spread over the video. decord can hang: call this where it can be killed.

    Args:
        path: The video file.
        try_decord: Put decord to the test; without, `decoder` is "pyav".

    Returns:
        What the file holds. Where decord is not installed, `decoder` is "pyav".

    Raises:
        VideoError: The file is no video, or none of its frames can be decoded.
    """
    if is_frame_folder(path):
        return glance(path)
    path = containers.checked(path)
    if is_archive(path):
        return _decoded_throughout(path)
    head, line = containers.header(path), containers.timeline(path)
    short = line.num_frames * head.width * head.height <= _SURVEY_PIXELS
    suspects = _suspects(line)
    file = PyAVFile(path, target_size(path, _probe_side(path)))
    try:
        if short:
            pictures, decoded = file.survey(suspects)
            num_frames = max(decoded, default=-1) + 1
            lost = line.num_frames - len(decoded)
        else:
            num_frames = file.last_frame() + 1 if line.seekable else line.num_frames
            suspects = [index for index in suspects if index < num_frames]
            pictures = dict(zip(suspects, file.read(suspects), strict=True))
            lost = line.num_frames - num_frames
    finally:
        file.close()
    if num_frames == 0:
        raise VideoError(f"{path}: no frame can be decoded.")
    doubt = _doubt(path, num_frames, pictures) if try_decord else "decord was not tried"
    rate = rhythm(path)
    if lost:
        doubt = f"damaged: {lost} of {line.num_frames} frames cannot be decoded"
    return VideoInfo(
        num_frames=num_frames,
        fps_hz=rate.fps_hz,
        width=head.width,
        height=head.height,
        decoder="pyav" if doubt else "any",
        note=doubt,
        remark="; ".join(head.display.remarks),
        times_s=list(rate.times_s[: num_frames + 1]),
    )


def glance(path: str | Path) -> VideoInfo:
    """Count the frames of a video by its packets, and decode the first alone.

    Far cheaper than `probe`, and less certain: frames may turn out to be damaged, and decord is
    not put to the test, though kept from files of which it is known to give other pictures.

    Args:
        path: The video file, a folder's pictures as `folder/%06d.jpg`, or packed frames.

    Raises:
        VideoError: The file is no video, or its first frame cannot be decoded.
    """
    path = Path(path) if is_frame_folder(path) else containers.checked(path)
    head = header(path)
    rate = Rhythm(head.fps_hz) if is_frame_folder(path) else rhythm(path)
    if is_frame_folder(path):
        num_frames = frame_numbers(path)[-1] + 1
    elif is_archive(path):
        with FrameArchive(path, None) as archive:
            num_frames = archive.num_frames
    else:
        num_frames = containers.timeline(path).num_frames
    doubt = "" if is_frame_folder(path) or is_archive(path) else unfit(head)
    return VideoInfo(
        num_frames,
        rate.fps_hz,
        head.width,
        head.height,
        decoder="pyav" if doubt else "any",
        note=doubt,
        remark="; ".join(head.display.remarks),
        times_s=list(rate.times_s),
    )


def _decoded_throughout(path: Path) -> VideoInfo:
    """Decode every frame of a file of packed ones."""
    info = glance(path)
    with FrameArchive(path, None) as archive:
        for index in range(info.num_frames):
            archive.read([index])
    return info


def _suspects(line: Timeline) -> list[int]:
    """Frames on which to test random access: those after key frames, and some spread evenly."""
    keys = line.keys[1:]
    keys = keys[:: max(1, -(-len(keys) // _PROBE_KEYS))]
    numbers = np.flatnonzero(np.isin(line.positions, keys))
    near = (numbers[:, None] + np.arange(4)).ravel()
    spread = np.linspace(0, line.num_frames - 1, _PROBE_SPREAD).round().astype(int)
    indices = np.union1d(near, spread)
    return [int(index) for index in indices if index < line.num_frames]


def _doubt(path: Path, num_frames: int, pictures: Mapping[int, NDArray[np.uint8]]) -> str:
    """Say why decord cannot be trusted with a video; "" where nothing speaks against it.

    Args:
        path: The video file.
        num_frames: Frames that can be decoded.
        pictures: Some of them by number, uint8 [H, W, 3], in ascending order.
    """
    if reason := unfit(containers.header(path)):
        return reason
    if not has_decord():
        return "not checked with decord, which is not installed"
    try:
        file = DecordFile(path, _probe_side(path))
    except VideoError:
        return "decord cannot open it"
    try:
        if file.counts_discarded_frames():
            return "decord counts frames that start before time zero"
        if file.num_frames != num_frames:
            return f"decord counts {file.num_frames} frames instead of {num_frames}"
        # Going backwards makes every read a seek.
        for index in sorted(pictures, reverse=True):
            if not _same(file.read([index])[0], pictures[index]):
                return f"decord's random access is wrong at frame {index}"
        together = file.read(list(pictures))
        if not all(map(_same, together, pictures.values())):
            return "decord's random access is wrong"
    except VideoError:
        return "decord cannot decode it"
    finally:
        file.close()
    return ""


def _probe_side(path: Path) -> int:
    """Return the short side at which to compare: less than the video's, so that it takes little.

    Except where that would be too small for decord.
    """
    head = containers.header(path)
    short = min(head.width, head.height)
    side = min(_PROBE_MAX_SIDE, short * 3 // 4)
    return side if head.width * side >= short * _PROBE_MIN_WIDTH else short


def _same(left: NDArray[np.uint8], right: NDArray[np.uint8]) -> bool:
    if left.shape != right.shape:
        return False
    return float(np.abs(left.astype(np.int16) - right).mean()) <= _SAME_PICTURE
