"""Pictures as a viewer shows them: the one place where picture files are read.

JPEG, PNG, WebP and BMP, told by their content; of an animation, and of several pictures in one
file, the first. EXIF's orientation is applied. 16 bits a channel are brought to 8: white stays
white. What is transparent lies over black. Colour profiles are left alone. No torch here.

Shapes: H and W the height and width in pixels as shown, or as resized by `short_side`.
"""

import io
import struct
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from vipl.data.decoding.containers import VideoError

IMAGE_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".webp"})
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""Pillow's names of the formats that are opened, whatever a file is called."""

UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)
"""What Pillow raises for pictures that are damaged, or no pictures at all."""

_ORIENTATION = 0x0112  # EXIF's tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_LYING = (5, 6, 7, 8)  # orientations that swap width and height
_GREY_STEP = {"L;2": 85, "L;4": 17}  # from one level to the next, by Pillow's name of the coding
_EIGHT_BIT_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


def read_picture(file: Path, *, short_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a picture file.

    Args:
        file: JPEG, PNG, WebP or BMP.
        short_side: As for `video.VideoReader`; JPEGs are reduced while they are decoded.

    Returns:
        uint8 [H, W, 3] RGB.

    Raises:
        VideoError: If it cannot be read.
    """
    return _read(file, str(file), short_side)


def picture_of(data: bytes, *, name: str, short_side: int | None = None) -> NDArray[np.uint8]:
    """Decode a picture that lies in memory; as `read_picture`, with a name for messages."""
    return _read(io.BytesIO(data), name, short_side)


def picture_size(file: Path) -> tuple[int, int]:
    """Return width and height of a picture as shown, where its format allows without decoding it.

    Raises:
        VideoError: If it cannot be read.
    """
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.format == "PNG" and "exif" not in image.info:
                image.load()  # EXIF may follow the pixels
            width, height = image.size
            return (height, width) if _orientation(image) in _LYING else (width, height)
    except UNREADABLE as error:
        raise _refusal(str(file), error) from error


def decoded(image: Image.Image, short_side: int | None) -> Image.Image:
    """Decode an opened picture to RGB as shown, brought to a shorter side.

    JPEGs are reduced on the way.

    Raises:
        Exception: One of `UNREADABLE`, if it is damaged.
    """
    size = scaled(image.width, image.height, short_side)
    image.draft("RGB", size)
    if "transparency" in image.info:
        _scale_transparency(image)
    image.load()
    plain = image.mode == "RGB" and "transparency" not in image.info
    picture = image if plain else _as_rgb(image)
    if picture.size != size:
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    turn = _UPRIGHT.get(_orientation(image))
    return picture if turn is None else picture.transpose(turn)


def scaled(width: int, height: int, short_side: int | None) -> tuple[int, int]:
    """Return width and height brought to a shorter side, never enlarged; None: as they are."""
    ratio = 1.0 if short_side is None else min(1.0, short_side / min(width, height))
    return max(1, round(width * ratio)), max(1, round(height * ratio))


def _read(file: Path | IO[bytes], name: str, short_side: int | None) -> NDArray[np.uint8]:
    try:
        with Image.open(file, formats=FORMATS) as image:
            return np.asarray(decoded(image, short_side))
    except UNREADABLE as error:
        raise _refusal(name, error) from error


def _orientation(image: Image.Image) -> int:
    """Return EXIF's orientation, 1 to 8: as stored is 1."""
    if "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(_ORIENTATION)
    except (SyntaxError, ValueError, TypeError, KeyError, struct.error):
        return 1  # damaged EXIF: viewers show the picture as it is stored
    return value if value in _UPRIGHT else 1


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return a decoded picture of any mode in RGB, what is transparent over black.

    Raises:
        ValueError: If its pixels are of a kind that has no 8-bit form here.
    """
    if image.mode == "I" or image.mode.startswith("I;16"):
        return _high_bytes(image).convert("RGB")
    if image.mode not in _EIGHT_BIT_MODES:
        raise ValueError(
            f"its pixels are of the mode {image.mode}, expected 8 or 16 bits a channel"
        )
    if image.mode not in ("LA", "PA", "RGBA") and "transparency" not in image.info:
        return image.convert("RGB")
    black = Image.new("RGBA", image.size, (0, 0, 0, 255))
    return Image.alpha_composite(black, image.convert("RGBA")).convert("RGB")


def _scale_transparency(image: Image.Image) -> None:
    """Bring the value that a PNG calls transparent to 8 bits, as Pillow will bring its pixels."""
    assert isinstance(image, ImageFile.ImageFile)
    value, stored = image.info["transparency"], image.tile[0][3]
    if stored == "1":
        image.info["transparency"] = 255 if value else 0
    elif stored in _GREY_STEP:
        image.info["transparency"] = value * _GREY_STEP[stored]
    elif stored == "RGB;16B":
        image.info["transparency"] = tuple(channel >> 8 for channel in value)


def _high_bytes(image: Image.Image) -> Image.Image:
    """Bring 16-bit grey to 8 bits, as Pillow does 16-bit colours while it decodes them."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f"its pixels are of the mode {image.mode} and exceed 16 bits")
    transparent = image.info.get("transparency")
    if transparent is not None:
        values[values == transparent] = 0
    return Image.fromarray((values >> 8).astype(np.uint8))


def _refusal(name: str, error: BaseException) -> VideoError:
    if isinstance(error, FileNotFoundError):
        return VideoError(f"{name}: the picture does not exist.")
    if isinstance(error, PermissionError):
        return VideoError(f"{name}: no permission to read the picture.")
    return VideoError(f"{name}: not a picture that can be read ({_reason(error)}).")


def _reason(error: BaseException) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "unknown format; expected JPEG, PNG, WebP or BMP"
    return next(iter(str(error).splitlines()), type(error).__name__)
