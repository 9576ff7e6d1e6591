"""Pictures as a player shows them: turned, mirrored, square pixels, over black."""

import itertools
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest
from av.bitstream import BitStreamFilterContext
from tests import media

from vipl.data.containers import VideoError, header
from vipl.data.display import TURNS, display_of
from vipl.data.probe import glance, probe
from vipl.data.video import Backend, VideoReader, has_decord

needs_decord = pytest.mark.skipif(not has_decord(), reason="decord is not installed")
BACKENDS = [pytest.param("decord", marks=needs_decord), "pyav"]
EIGHT = [
    matrix
    for matrix in itertools.product((-1, 0, 1), repeat=4)
    if abs(matrix[0] * matrix[3] - matrix[1] * matrix[2]) == 1 and sum(map(abs, matrix)) == 2
]
FRAMES = media.moving_square(3, 96, 128)


def read(path: Path, backend: Backend = "auto", **options: Any) -> np.ndarray:
    with VideoReader(path, backend=backend, **options) as reader:
        images = reader.read([1])
        assert images.shape[1:3] == (reader.height, reader.width)
        return images[0]


def difference(left: np.ndarray, right: np.ndarray) -> float:
    assert left.shape == right.shape
    return float(np.abs(left.astype(int) - right.astype(int)).mean())


@pytest.fixture(scope="module")
def upright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return media.write_video(tmp_path_factory.mktemp("upright") / "plain.mp4", FRAMES)


def test_there_are_eight() -> None:
    assert sorted(TURNS) == sorted(EIGHT)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
@pytest.mark.parametrize("matrix", EIGHT)
def test_turned_and_mirrored(
    matrix: tuple[int, ...], suffix: str, backend: Backend, upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / f"a.{suffix}", FRAMES, matrix=matrix)
    expected = media.shown(read(upright), matrix)
    np.testing.assert_array_equal(read(path, backend), expected)
    mirrored = matrix[0] * matrix[3] - matrix[1] * matrix[2] < 0
    reduced = read(path, "auto" if mirrored else backend, short_side=80)
    # Colours lie between pixels of 4:2:0, and are resized otherwise where axes change places.
    assert difference(reduced, media.shown(read(upright, short_side=80), matrix)) < 4
    np.testing.assert_array_equal(reduced, read(path, "pyav", short_side=80))
    info = glance(path)
    decoder = "pyav" if mirrored else "any"
    assert (info.height, info.width, info.decoder) == (*expected.shape[:2], decoder)
    assert info.remark == ""
    if has_decord():
        assert probe(path).decoder == decoder


@pytest.mark.parametrize("matrix", EIGHT)
def test_matroska_turns_too_and_decord_does_not_hear_it(
    matrix: tuple[int, ...], upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / "a.mkv", FRAMES, matrix=matrix)
    np.testing.assert_array_equal(read(path), media.shown(read(upright), matrix))
    if matrix != (1, 0, 0, 1):
        assert (probe(path).decoder, glance(path).decoder) == ("pyav", "pyav")


def test_the_stream_itself_may_turn(tmp_path: Path, upright: Path) -> None:
    path = tmp_path / "a.mp4"
    turn = "h264_metadata=display_orientation=insert:rotate=90:flip=horizontal"
    with av.open(str(upright)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        change = BitStreamFilterContext(turn, stream)
        for packet in old.demux(stream):
            for changed in change.filter(packet if packet.size else None):
                changed.stream = copy
                new.mux(changed)
    with av.open(str(path)) as container:
        (data,) = [d for d in next(container.decode(video=0)).side_data if "DISPLAY" in str(d)]
        a, b, _, c, d = (np.frombuffer(bytes(data), np.int32)[:5] / 65536).tolist()
    np.testing.assert_array_equal(read(path), media.shown(read(upright), (a, b, c, d)))
    assert glance(path).note == "decord does not turn its pictures"


@pytest.mark.parametrize(
    ("matrix", "like", "size", "remark"),
    [
        ((1, 0.3, 0, 1), (1, 0, 0, 1), (128, 96), "(1, 0.3, 0, 1) is no turn by 90°"),
        ((0.8, 0.6, -0.6, 0.8), (1, 0, 0, 1), (128, 96), "left as stored"),
        ((1, 0, 1, 0), (1, 0, 0, 1), (128, 96), "left as stored"),
        ((2, 0, 0, 2), (1, 0, 0, 1), (128, 96), "scales by 2: left at the stored size"),
        ((0, -0.5, 0.5, 0), (0, -1, 1, 0), (96, 128), "scales by 0.5"),
        ((2, 0, 0, 1), (1, 0, 0, 1), (256, 96), "pixels of 2:1"),
        ((0, 2, -1, 0), (0, 1, -1, 0), (96, 256), "pixels of 2:1"),
        ((0.9999, 0.01, -0.01, 0.9999), (1, 0, 0, 1), (128, 96), ""),
    ],
)
def test_other_matrices_are_named(
    matrix: tuple[float, ...],
    like: tuple[int, ...],
    size: tuple[int, int],
    remark: str,
    upright: Path,
    tmp_path: Path,
) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, matrix=matrix)
    info = glance(path)
    assert (info.width, info.height) == size
    assert remark in info.remark
    assert bool(remark) == bool(info.remark)
    image = read(path)
    if sorted(size) == [96, 128]:
        np.testing.assert_array_equal(image, media.shown(read(upright), like))


def test_a_perspective_is_left_as_stored() -> None:
    values = np.array([65536, 0, 500, 0, 65536, 0, 0, 0, 1 << 30], np.int32)
    frame, stream = a_frame(values), a_stream()
    display = display_of(stream, frame)
    assert display.orientation == (1, 0, 0, 1)
    assert "left as stored" in display.remarks[0]


def test_data_that_pyav_does_not_know_hides_no_turn() -> None:
    class Unknown:
        def __iter__(self) -> Any:
            raise ValueError("31 is not a valid Type")

    frame = a_frame(np.zeros(9, np.int32))
    frame.side_data, frame.rotation = Unknown(), 90
    assert display_of(a_stream(), frame).orientation == (0, -1, 1, 0)


def a_frame(matrix: np.ndarray) -> Any:
    from av.sidedata.sidedata import Type

    class Data(bytes):
        type = Type.DISPLAYMATRIX

    pixels = SimpleNamespace(name="yuv420p", components=[])
    return SimpleNamespace(
        side_data=[Data(matrix.tobytes())],
        interlaced_frame=False,
        format=pixels,
        height=48,
        width=64,
    )


def a_stream() -> Any:
    colours = SimpleNamespace(color_trc=1, color_primaries=1)
    return SimpleNamespace(codec_context=colours, sample_aspect_ratio=None)


# --- pixels that are not square ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("suffix", "aspect", "width"),
    [
        ("mp4", "16/11", 186), ("mp4", "8/9", 114), ("mp4", "1/2", 64), ("mov", "4/3", 171),
        ("mkv", "5/4", 160), ("avi", "13/16", 104), ("ts", "16/11", 186),
    ],
)  # fmt: skip
def test_pixels_become_square(suffix: str, aspect: str, width: int, tmp_path: Path) -> None:
    path = media.write_video(tmp_path / f"a.{suffix}", FRAMES, aspect=Fraction(aspect))
    assert read(path).shape == (96, width, 3)
    info = probe(path)
    assert (info.width, info.height, info.decoder) == (width, 96, "pyav")
    assert info.remark == f"pixels of {aspect.replace('/', ':')}: brought to square ones"
    side = 24
    assert min(read(path, short_side=side).shape[:2]) == side


def test_half_a_pixel_is_rounded_up(tmp_path: Path) -> None:
    frames = media.moving_square(2, 48, 66)
    path = media.write_video(tmp_path / "a.mp4", frames, aspect=Fraction(3, 4))  # 49.5
    assert read(path).shape == (48, 50, 3)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("aspect", ["101/100", "99/100", "1"])
def test_pixels_that_are_nearly_square_are_left(
    aspect: str, backend: Backend, upright: Path, tmp_path: Path
) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, aspect=Fraction(aspect))
    np.testing.assert_array_equal(read(path, backend), read(upright))
    assert glance(path).remark == ""


def test_an_aspect_that_no_camera_makes_is_left(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mp4", FRAMES, aspect=Fraction(50))
    assert read(path).shape == (96, 128, 3)
    assert glance(path).remark == "pixels of 50:1, which no camera makes: left as stored"


def test_the_container_is_believed_before_the_stream(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "both.mp4", FRAMES, aspect=Fraction(16, 11))
    written = path.read_bytes()
    both = b"pasp" + (16).to_bytes(4, "big") + (11).to_bytes(4, "big")
    other = b"pasp" + (5).to_bytes(4, "big") + (4).to_bytes(4, "big")
    assert both in written
    path.write_bytes(written.replace(both, other))
    assert header(path).width == 160
    path.write_bytes(written.replace(b"pasp", b"free"))  # the stream alone
    assert header(path).width == 186


def test_matroska_names_the_width_to_show(tmp_path: Path) -> None:
    path = media.write_video(tmp_path / "a.mkv", FRAMES)
    unit = bytes([0x54, 0xB2, 0x81, 4])  # DisplayUnit: unknown
    width = bytes([0x54, 0xB0, 0x81, 192])  # DisplayWidth
    assert path.read_bytes().count(unit) == 1
    path.write_bytes(path.read_bytes().replace(unit, width))
    assert read(path).shape == (96, 192, 3)
    assert glance(path).remark == "pixels of 3:2: brought to square ones"


@pytest.mark.parametrize("matrix", EIGHT)
def test_turned_pixels_are_stretched_along_the_stored_width(
    matrix: tuple[int, ...], tmp_path: Path
) -> None:
    wide = {"aspect": Fraction(3, 2)}
    path = media.write_video(tmp_path / "a.mp4", FRAMES, matrix=matrix, **wide)
    plain = media.write_video(tmp_path / "plain.mp4", FRAMES, **wide)
    expected = media.shown(read(plain), matrix)
    assert sorted(expected.shape[:2]) == [96, 192]
    assert difference(read(path), expected) < 4


# --- colours -------------------------------------------------------------------------------------


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
