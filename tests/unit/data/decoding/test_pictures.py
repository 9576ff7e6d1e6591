"""Pictures are read as a viewer shows them."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from tests.fixtures import media
from vipl.data.decoding.containers import VideoError
from vipl.data.decoding.pictures import picture_of, picture_size, read_picture

UPRIGHT = media.moving_square(2, 48, 64)[1]
# What a camera stores, that says to be shown as UPRIGHT: EXIF 2.32, 4.6.4 A, table 6.
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.swapaxes(0, 1),
    6: np.rot90(UPRIGHT),
    7: np.rot90(UPRIGHT, 2).swapaxes(0, 1),
    8: np.rot90(UPRIGHT, -1),
}


def encoded(image: Image.Image, form: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def exif(orientation) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png16(values, colour_type: int, *more: bytes) -> bytes:
    """A PNG of 16 bits a channel, which Pillow does not write but for grey."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values.reshape(height, -1))
    head = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize("orientation", STORED)
def test_exifs_orientation_is_applied(tmp_path, orientation, form):
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    options = {"lossless": True} if form == "WEBP" else {}
    file = tmp_path / "goal"
    file.write_bytes(encoded(image, form, exif=exif(orientation), **options))
    np.testing.assert_array_equal(read_picture(file), UPRIGHT)
    assert picture_size(file) == (64, 48)


@pytest.mark.parametrize("orientation", STORED)
def test_exifs_orientation_is_applied_to_jpegs_that_are_reduced(tmp_path, orientation):
    image = Image.fromarray(np.ascontiguousarray(STORED[orientation]))
    file = tmp_path / "goal.jpg"
    file.write_bytes(encoded(image, "JPEG", exif=exif(orientation), quality=95))
    assert np.abs(read_picture(file) - UPRIGHT.astype(int)).mean() < 5
    small = read_picture(file, short_side=24)
    exact = np.asarray(Image.fromarray(UPRIGHT).reduce(2)).astype(int)
    assert small.shape == exact.shape
    assert np.abs(small - exact).mean() < 8
    assert picture_size(file) == (64, 48)


@pytest.mark.parametrize("value", [0, 9])
def test_an_orientation_that_is_none_leaves_a_picture_as_it_is_stored(value):
    tags = encoded(Image.fromarray(UPRIGHT), "PNG", exif=exif(value))
    np.testing.assert_array_equal(picture_of(tags, name="a"), UPRIGHT)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_damaged_exif_leaves_a_picture_as_it_is_stored():
    image = Image.fromarray(UPRIGHT)
    for damaged in (b"Exif\0\0nothing", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"):
        np.testing.assert_array_equal(
            picture_of(encoded(image, "PNG", exif=damaged), name="a"), UPRIGHT
        )


def test_exif_after_the_pixels_counts(tmp_path):
    data = encoded(Image.fromarray(np.ascontiguousarray(STORED[6])), "PNG", exif=exif(6))
    start = data.index(b"eXIf") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    tail = data[-12:]
    file = tmp_path / "goal.png"
    file.write_bytes(data[:start] + data[end:-12] + data[start:end] + tail)
    np.testing.assert_array_equal(read_picture(file), UPRIGHT)
    assert picture_size(file) == (64, 48)


GREY16 = np.array([[[0], [255], [256], [0x1234], [0x80FF], [0xFFFF]]], np.uint16)


@pytest.mark.parametrize(
    ("values", "colour_type"),
    [(GREY16, 0), (np.repeat(GREY16, 3, axis=2), 2)],
    ids=["grey", "colours"],
)
def test_sixteen_bits_are_scaled_to_eight(values, colour_type):
    picture = picture_of(png16(values, colour_type), name="a")
    expected = np.array([0, 0, 1, 0x12, 0x80, 255], np.uint8)
    np.testing.assert_array_equal(picture, np.repeat(expected[None, :, None], 3, axis=2))


def test_sixteen_bits_with_alpha_lie_over_black():
    grey = np.array([[[0xC800, 0xFFFF], [0xC800, 0x8000], [0xC800, 0]]], np.uint16)
    assert picture_of(png16(grey, 4), name="a")[0, :, 0].tolist() == [200, 100, 0]
    colours = np.array([[[0xC800, 0, 0, 0x8000], [0, 0xC800, 0, 0]]], np.uint16)
    assert picture_of(png16(colours, 6), name="a").tolist() == [[[100, 0, 0], [0, 0, 0]]]
    one_value = chunk(b"tRNS", struct.pack(">H", 0xFFFF))
    assert picture_of(png16(GREY16, 0, one_value), name="a")[0, :, 0].tolist()[-2:] == [0x80, 0]


def test_a_transparent_value_counts_at_every_depth():
    colours = np.array([[[0x1234, 0xABCD, 0xFFFF], [0xFF00, 0, 0]]], np.uint16)
    value = chunk(b"tRNS", struct.pack(">HHH", 0x1234, 0xABCD, 0xFFFF))
    assert picture_of(png16(colours, 2, value), name="a").tolist() == [[[0, 0, 0], [255, 0, 0]]]
    for bits, packed, white in ((1, 0b10, 1), (2, 0b1110, 3), (4, 0xFE, 15)):
        data = packed << (8 - 2 * bits)  # two pixels: the whitest, and one below
        rows = zlib.compress(bytes([0, data]))
        chunks = [
            chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, bits, 0, 0, 0, 0)),
            chunk(b"tRNS", struct.pack(">H", white)), chunk(b"IDAT", rows), chunk(b"IEND", b""),
        ]  # fmt: skip
        picture = picture_of(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), name="a")
        below = round((white - 1) * 255 / white)
        assert picture[0, :, 0].tolist() == [0, below]


def with_alpha(mode: str) -> Image.Image:
    alpha = np.zeros((48, 64), np.uint8)
    alpha[:, 32:] = 255
    image = Image.fromarray(UPRIGHT).convert(mode.removesuffix("A"))
    image.putalpha(Image.fromarray(alpha))
    return image


@pytest.mark.parametrize(("mode", "form"), [("RGBA", "PNG"), ("LA", "PNG"), ("RGBA", "WEBP")])
def test_what_is_transparent_is_black(mode, form):
    image = with_alpha(mode)
    options = {"lossless": True, "exact": True} if form == "WEBP" else {}
    picture = picture_of(encoded(image, form, **options), name="a")
    expected = np.array(image.convert("RGB"))
    expected[:, :32] = 0
    np.testing.assert_array_equal(picture, expected)


def test_palettes_with_and_without_transparency():
    image = Image.new("P", (3, 1))
    image.putpalette([250, 0, 0, 0, 240, 0, 0, 0, 230])
    image.putdata([0, 1, 2])
    plain = picture_of(encoded(image, "PNG"), name="a")
    assert plain.tolist() == [[[250, 0, 0], [0, 240, 0], [0, 0, 230]]]
    picture = picture_of(encoded(image, "PNG", transparency=b"\xff\x00\x80"), name="a")
    assert picture.tolist() == [[[250, 0, 0], [0, 0, 0], [0, 0, 115]]]
    one = picture_of(encoded(image, "PNG", transparency=2), name="a")
    assert one.tolist() == [[[250, 0, 0], [0, 240, 0], [0, 0, 0]]]


def test_one_bit_grey_and_printers_colours():
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    for form in ("PNG", "BMP"):
        assert picture_of(encoded(bits, form), name="a").tolist() == [[[0] * 3, [255] * 3]]
    grey = Image.new("L", (8, 8), 77)
    assert np.unique(picture_of(encoded(grey, "BMP"), name="a")).tolist() == [77]
    printed = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red = picture_of(encoded(printed, "JPEG", quality=100), name="a")
    assert np.abs(red.reshape(-1, 3).mean(0) - [255, 0, 0]).max() < 3


@pytest.mark.parametrize(("form", "options"), [("PNG", {}), ("WEBP", {"lossless": True})])
def test_of_an_animation_the_first_picture_is_read(form, options):
    frames = [Image.fromarray(frame) for frame in media.moving_square(3, 48, 64)]
    data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(picture_of(data, name="a"), np.asarray(frames[0]))


def test_of_a_jpeg_of_several_pictures_the_first_is_read():
    frames = [Image.new("RGB", (16, 16), value) for value in ((200, 0, 0), (0, 0, 200))]
    data = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert picture_of(data, name="a")[0, 0, 0] > 190


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PPM", "TGA", "EPS", "PCX", "ICO"])
def test_other_formats_are_refused_whatever_the_file_is_called(tmp_path, form):
    file = tmp_path / "goal.png"
    file.write_bytes(encoded(Image.fromarray(UPRIGHT), form))
    message = r"goal\.png: not a picture .* expected JPEG, PNG, WebP or BMP"
    for read in (read_picture, picture_size):
        with pytest.raises(VideoError, match=message):
            read(file)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_a_damaged_picture_is_a_sentence_whatever_is_damaged():
    image = Image.fromarray(UPRIGHT)
    originals = [
        encoded(image, "JPEG", exif=exif(6)),
        encoded(image, "PNG", exif=exif(6)),
        encoded(image, "WEBP", exif=exif(6)),
        encoded(image, "BMP"),
        encoded(with_alpha("LA"), "PNG"),
        png16(GREY16, 0),
    ]
    draw = random.Random(0)
    refused = 0
    for _ in range(300):
        data = bytearray(draw.choice(originals))
        for _ in range(draw.choice([1, 3, 20])):
            data[draw.randrange(min(len(data), 400))] = draw.randrange(256)
        if draw.random() < 0.3:
            del data[draw.randrange(1, len(data)) :]
        try:
            assert picture_of(bytes(data), name="a").dtype == np.uint8
        except VideoError as error:
            refused += str(error).startswith("a: not a picture that can be read (")
    assert refused > 100
