"""Colours of pictures, what is named of them, over black; which of them decord may read."""

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from tests.fixtures import media
from vipl.data.decoding.containers import VideoError
from vipl.data.decoding.probe import glance, probe
from vipl.data.decoding.video import Backend, VideoReader, has_decord

needs_decord = pytest.mark.skipif(not has_decord(), reason="decord is not installed")
FRAMES = media.moving_square(3, 96, 128)


def read(path: Path, backend: Backend = "auto", **options: Any) -> np.ndarray:
    with VideoReader(path, backend=backend, **options) as reader:
        images = reader.read([1])
        assert images.shape[1:3] == (reader.height, reader.width)
        return images[0]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


def test_an_unknown_matrix_is_named(tmp_path: Path) -> None:
    for number, name in ((8, "YCgCo"), (14, "ICtCp"), (13, "derived from the primaries, with")):
        path = media.write_video(tmp_path / "a.mp4", FRAMES, colours={"colorspace": number})
        for call in (probe, glance, read):
            with pytest.raises(VideoError, match=rf"coded by the matrix {name}.*BT.709's"):
                call(path)


@pytest.mark.parametrize("number", [1, 2, 4, 5, 6, 7, 9])
def test_known_matrices_give_back_the_colours(number: int, tmp_path: Path) -> None:
    """By the coefficients of ITU-T H.273, table 4, worked out in float64; untagged is BT.601."""
    flat = np.array([[[200, 60, 40]], [[30, 160, 90]], [[50, 60, 220]]], float)
    red, blue = {
        1: (0.2126, 0.0722), 2: (0.299, 0.114), 4: (0.30, 0.11), 5: (0.299, 0.114),
        6: (0.299, 0.114), 7: (0.212, 0.087), 9: (0.2627, 0.0593),
    }[number]  # fmt: skip
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.codec_context.colorspace, stream.codec_context.color_range = number, 1
        for colour in flat[:, 0]:
            luma = red * colour[0] + blue * colour[2] + (1 - red - blue) * colour[1]
            chroma = [(colour[2] - luma) / 2 / (1 - blue), (colour[0] - luma) / 2 / (1 - red)]
            planes = np.full((72, 80), round(16 + 219 * luma / 255), np.uint8)
            planes[48:60] = round(128 + 224 * chroma[0] / 255)
            planes[60:] = round(128 + 224 * chroma[1] / 255)
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(path) as reader:
        images = reader.read([0, 1, 2]).astype(float)
    assert np.abs(images - flat[:, None]).max() <= 3


@pytest.mark.parametrize(
    ("options", "remark"),
    [
        ({"colours": {"color_trc": 18, "color_primaries": 9, "colorspace": 9}}, "HLG: read as"),
        ({"colours": {"color_trc": 16, "color_primaries": 9, "colorspace": 9}}, "PQ: read as"),
        ({"options": {"flags": "+ildct+ilme"}}, "interlaced: both fields stay in one picture"),
        ({"colours": {"color_trc": 1, "color_primaries": 1, "colorspace": 1}}, ""),
    ],
)
def test_what_is_out_of_the_ordinary_is_named(
    options: dict[str, Any], remark: str, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, **options)
    for look in (probe, glance):
        assert look(path).remark[: len(remark)] == remark
        assert bool(look(path).remark) == bool(remark)


# codec, pixel format, suffix, whether decord may read it
PIXELS = [
    ("libx264", "yuv420p", "mp4", True),
    ("libx264", "yuvj420p", "mp4", True),
    ("libx264", "yuv422p", "mp4", True),
    ("libx264", "yuv444p", "mp4", True),
    ("libx264rgb", "rgb24", "mp4", True),
    ("ffv1", "gray", "mkv", True),
    ("libx264", "yuv420p10le", "mp4", False),
    ("libx264", "yuv422p10le", "mp4", False),
    ("libx264", "yuv444p10le", "mp4", False),
    ("ffv1", "gray16le", "mkv", False),
    ("ffv1", "yuv420p16le", "mkv", False),
    ("ffv1", "yuv410p", "mkv", False),
    ("ffv1", "yuv440p", "mkv", False),
    ("ffv1", "gbrp10le", "mkv", False),
    ("prores_ks", "yuv444p10le", "mov", False),
    ("qtrle", "gray", "mov", False),
]


@needs_decord
@pytest.mark.parametrize(("codec", "pixels", "suffix", "both"), PIXELS)
def test_decord_reads_what_it_reads_alike_and_no_more(
    codec: str, pixels: str, suffix: str, both: bool, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).integers(-20, 20, FRAMES.shape)
    frames = np.clip(FRAMES + noise, 0, 255).astype(np.uint8)
    path = media.write_video(tmp_path / f"a.{suffix}", frames, codec=codec, pix_fmt=pixels)
    for look in (probe, glance):
        assert look(path).decoder == ("any" if both else "pyav")
    if both:
        for side in (None, 80):
            images = [read(path, backend, short_side=side) for backend in ("decord", "pyav")]
            np.testing.assert_array_equal(*images)
    else:
        np.testing.assert_array_equal(read(path), read(path, "pyav"))
        with pytest.raises(VideoError, match=r"decord gives other colours of .* backend 'pyav'"):
            read(path, "decord")
    grey = frames[1].mean(axis=-1, keepdims=True) if "gray" in pixels else frames[1]
    assert difference(read(path), np.broadcast_to(grey, frames[1].shape)) < 15


@needs_decord
@pytest.mark.parametrize(
    ("size", "pixels", "rotation", "decoder"),
    [
        ((97, 128), "yuv420p", 0, "pyav"),
        ((96, 131), "yuv420p", 0, "any"),
        ((96, 131), "yuv420p", 90, "pyav"),
        ((96, 128), "yuv420p", 90, "any"),
        ((96, 128), "yuv422p", 90, "pyav"),
        ((97, 131), "yuv444p", 90, "any"),
    ],
)
def test_what_decord_reckons_otherwise_goes_to_pyav(
    size: tuple[int, int], pixels: str, rotation: int, decoder: str, tmp_path: Path
) -> None:
    frames = media.moving_square(3, *size)
    codec = "libx264" if pixels != "yuv420p" else "mpeg4"
    path = media.write_video(
        tmp_path / "a.mp4", frames, codec=codec, pix_fmt=pixels, rotation=rotation
    )
    assert [look(path).decoder for look in (probe, glance)] == [decoder] * 2
    for side in (None, 80):
        images = read(path, short_side=side), read(path, "pyav", short_side=side)
        np.testing.assert_array_equal(*images)


@needs_decord
@pytest.mark.parametrize(("suffix", "codec"), [("flv", "flv"), ("ts", "libx264"), ("nut", "ffv1")])
def test_other_containers_are_not_handed_to_decord(
    suffix: str, codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = media.write_video(tmp_path / f"a.{suffix}", FRAMES, codec=codec)
    opened: list[str] = []
    monkeypatch.setattr("decord.VideoReader", lambda name, **_: opened.append(name), raising=False)
    for look in (probe, glance):
        assert look(path).note.startswith("decord is not given this container")
    assert difference(read(path), FRAMES[1]) < 10
    with pytest.raises(VideoError, match=r"not given this container.*use the backend 'pyav'"):
        read(path, "decord")
    assert not opened


@pytest.mark.parametrize(
    ("codec", "pixels", "suffix", "options"),
    [
        ("libvpx-vp9", "yuva420p", "webm", {}),
        ("libvpx", "yuva420p", "webm", {"crf": "4", "b": "2000000", "auto-alt-ref": "0"}),
        ("prores_ks", "yuva444p10le", "mov", {}),
        ("png", "rgba", "mov", {}),
        ("qtrle", "argb", "mov", {}),
        ("ffv1", "yuva420p", "mkv", {}),
    ],
)
def test_what_is_transparent_lies_over_black(
    codec: str, pixels: str, suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    frames = np.full((30, 48, 96, 4), 200, np.uint8)
    frames[:, :, :32, 3], frames[:, :, 32:64, 3], frames[:, :, 64:, 3] = 0, 128, 255
    path = media.write_video(
        tmp_path / f"a.{suffix}", frames, codec=codec, pix_fmt=pixels, options=options
    )
    for side in (None, 24):
        with VideoReader(path, short_side=side) as reader:
            images = reader.read([29, 3, 13])  # seeks
        for part, level in ((1 / 6, 0), (1 / 2, 100), (5 / 6, 200)):
            column = images[:, :, int(part * images.shape[2])]
            assert np.abs(column.astype(int) - level).max() <= 2
    info = probe(path)
    assert (info.num_frames, info.decoder) == (30, "pyav")
    assert info.remark == "transparent: laid over black"


def test_transparent_colours_do_not_bleed_into_smaller_pictures(tmp_path: Path) -> None:
    frames = np.zeros((1, 64, 64, 4), np.uint8)
    frames[:, :, ::2] = (0, 0, 255, 255)  # blue, beside what is transparent and red
    frames[:, :, 1::2] = (255, 0, 0, 0)
    path = media.write_video(tmp_path / "a.mov", frames, codec="png", pix_fmt="rgba")
    with VideoReader(path, short_side=32) as reader:
        image = reader.read([0])[0].astype(int)
    assert np.abs(image[8:-8, 8:-8] - (0, 0, 127)).max() <= 3
