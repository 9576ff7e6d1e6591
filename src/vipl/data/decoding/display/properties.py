"""From the pictures that a video stores to those that a player shows.

A file may say that its pictures are to be turned or mirrored (a matrix, which FFmpeg reads from MP4
and MOV, Matroska and WebM, and from H.264 and HEVC themselves), that its pixels are not square,
and how its numbers mean colours. All of it is read from the first frame. No torch here.

The matrix is that of ISO 14496-12, section 6.2.2: a step to the right in the stored picture goes
by (a, b) as displayed, a step down by (c, d).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

Orientation: TypeAlias = tuple[int, int, int, int]
"""(a, b, c, d) of the matrix, each -1, 0 or 1."""

UPRIGHT: Orientation = (1, 0, 0, 1)
# Of each of the eight, FFmpeg's filters that bring it about.
TURNS: dict[Orientation, tuple[tuple[str, str], ...]] = {
    UPRIGHT: (),
    (-1, 0, 0, -1): (("hflip", ""), ("vflip", "")),
    (-1, 0, 0, 1): (("hflip", ""),),
    (1, 0, 0, -1): (("vflip", ""),),
    (0, 1, -1, 0): (("transpose", "clock"),),
    (0, -1, 1, 0): (("transpose", "cclock"),),
    (0, 1, 1, 0): (("transpose", "cclock_flip"),),
    (0, -1, -1, 0): (("transpose", "clock_flip"),),
}
_IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
# What a turn may be off, as FFmpeg allows: the sine of a degree.
_OFF = math.sin(math.radians(1))
# Pixels this near to square come from rounding a size to whole pixels; resampling would only blur.
_NEARLY_SQUARE = 0.01
_GREATEST_ASPECT = 16
_HIGH_RANGE = {16: "PQ", 18: "HLG"}  # ITU-T H.273's numbers of transfer characteristics
# Of matrix coefficients: what FFmpeg computes RGB by, and the names of the others.
_MATRICES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})
_OTHER_MATRICES = {
    8: "YCgCo",
    10: "BT.2020 with constant luminance",
    11: "SMPTE ST 2085",
    12: "derived from the primaries",
    13: "derived from the primaries, with constant luminance",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}


@dataclass(frozen=True, slots=True)
class Display:
    """What turns stored pictures into shown ones.

    Attributes:
        orientation: One of the eight.
        within: Whether the stream itself says so, and not only the container.
        aspect: Width of a stored pixel over its height; 1 where it is left as stored.
        pixels: FFmpeg's name of the pixel format.
        odd_rows: Whether the picture has an odd number of rows, as stored or as displayed.
        transfer: "HLG" or "PQ" where the picture is one of high dynamic range, else "".
        bt2020: Whether its primaries are BT.2020's.
        remarks: What a user should know of, a phrase each.
    """

    orientation: Orientation = UPRIGHT
    within: bool = False
    aspect: Fraction = Fraction(1)
    pixels: str = "rgb24"
    odd_rows: bool = False
    transfer: str = ""
    bt2020: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def mirrored(self) -> bool:
        """Whether left and right change places, turned or not."""
        a, b, c, d = self.orientation
        return a * d - b * c < 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Return width and height as displayed of a stored picture.

        The stored height stays, the width becomes that of square pixels, half a pixel rounded up.
        """
        wide = max(1, math.floor(width * self.aspect + Fraction(1, 2)))
        return (wide, height) if self.orientation[0] else (height, wide)


AS_STORED = Display()


def display_of(stream: VideoStream, frame: VideoFrame) -> Display:
    """Return how a stream's pictures are shown, by its first frame."""
    orientation, stretch, remarks = _turn(_matrix(frame))
    aspect, remark = _aspect(stream, stretch)
    transfer = _HIGH_RANGE.get(stream.codec_context.color_trc, "")
    if transfer:
        remarks.append(f"{transfer}: read as stored, pale; `vipl prepare --tone-map` mends it")
    remarks += [remark] if remark else []
    if frame.interlaced_frame:
        remarks.append("interlaced: both fields stay in one picture")
    if has_alpha(frame):
        remarks.append("transparent: laid over black")
    return Display(
        orientation=orientation,
        aspect=aspect,
        pixels=frame.format.name,
        odd_rows=bool(frame.height % 2 or (not orientation[0] and frame.width % 2)),
        transfer=transfer,
        bt2020=stream.codec_context.color_primaries == 9,
        remarks=tuple(remarks),
    )


def is_turned(frame: VideoFrame) -> bool:
    """Whether a frame's matrix is another than that of an upright picture."""
    return _matrix(frame) != _IDENTITY


def unknown_matrix(frame: VideoFrame) -> str:
    """Return the name of the colour matrix where RGB cannot be computed by it; else ""."""
    number = int(frame.colorspace)
    if frame.format.is_rgb or len(frame.format.components) < 3 or number in _MATRICES:
        return ""
    return _OTHER_MATRICES.get(number, f"number {number} of ITU-T H.273")


def has_alpha(frame: VideoFrame) -> bool:
    """Whether a frame's pixels say how transparent they are."""
    return any(component.is_alpha for component in frame.format.components)


def _matrix(frame: VideoFrame) -> tuple[float, ...]:
    """Return a, b, u, c, d, v of the frame's matrix; u and v are 0 unless it is a perspective."""
    try:
        beside: Any = frame.side_data
        # By its key: to iterate gives values up to PyAV 18 and keys from 19 on.
        found = beside.get(Type.DISPLAYMATRIX)
    except ValueError:  # PyAV does not know the kind of some other data beside it
        angle = math.radians(frame.rotation)
        cosine, sine = math.cos(angle), math.sin(angle)
        return cosine, -sine, 0.0, sine, cosine, 0.0
    if found is None:
        return _IDENTITY
    return tuple((np.frombuffer(bytes(found), np.int32)[:6] / 65536).tolist())


def _turn(matrix: tuple[float, ...]) -> tuple[Orientation, float, list[str]]:
    """Return the nearest of the eight, how much wider than high it stretches, and remarks."""
    a, b, u, c, d, v = matrix
    across, down = math.hypot(a, b), math.hypot(c, d)
    if across and down and not u and not v:
        exact = (a / across, b / across, c / down, d / down)
        nearest: Orientation = tuple(round(value) for value in exact)  # type: ignore[assignment]
        off = max(abs(value - whole) for value, whole in zip(exact, nearest, strict=True))
        if nearest in TURNS and off <= _OFF:
            even = abs(across / down - 1) <= _NEARLY_SQUARE
            scaled = even and abs(across - 1) > _NEARLY_SQUARE
            remark = f"its track matrix scales by {across:.3g}: left at the stored size"
            return nearest, 1.0 if even else across / down, [remark] if scaled else []
    text = ", ".join(f"{value:.3g}" for value in (a, b, c, d))
    remark = f"its track matrix ({text}) is no turn by 90° or mirror image: left as stored"
    return UPRIGHT, 0.0, [remark]


def _aspect(stream: VideoStream, stretch: float) -> tuple[Fraction, str]:
    """Return the shape of the stored pixels, and a remark.

    Players believe the container before the stream within it, and a matrix that stretches before
    either; so does FFmpeg, which says the first two by one number.
    """
    if stretch == 1:
        ratio = Fraction(stream.sample_aspect_ratio or 1)
    else:
        ratio = Fraction(stretch).limit_denominator(1000)
    if ratio <= 0 or abs(ratio - 1) <= _NEARLY_SQUARE:
        return Fraction(1), ""
    text = f"pixels of {ratio.numerator}:{ratio.denominator}"
    if not 1 / _GREATEST_ASPECT <= ratio <= _GREATEST_ASPECT:
        return Fraction(1), f"{text}, which no camera makes: left as stored"
    return ratio, f"{text}: brought to square ones"
