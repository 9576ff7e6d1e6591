"""HLG and PQ brought to ordinary range, against float64 formulas written out one by one."""

import math

import av
import numpy as np
import pytest

from tests.fixtures import media
from vipl.data.decoding.display.tone_mapping import tone_mapped
from vipl.data.decoding.video import VideoReader

GREYS = [0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0]
COLOURS = [(0.7, 0.3, 0.2), (0.2, 0.6, 0.3), (0.1, 0.2, 0.8), (0.9, 0.85, 0.1), (1.0, 0.0, 0.0)]


def pq_to_light(code: float) -> float:
    """BT.2100, table 4, in cd/m²."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = code ** (1 / m2)
    return 10000 * (max(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1)


def light_to_pq(light: float) -> float:
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    power = (light / 10000) ** m1
    return ((c1 + c2 * power) / (1 + c3 * power)) ** m2


def hlg_to_scene(code: float) -> float:
    """BT.2100, table 5."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return code**2 / 3 if code <= 0.5 else (math.exp((code - c) / a) + b) / 12


def reference(code: tuple[float, float, float], transfer: str, *, bt2020: bool) -> list[float]:
    """The whole way for one colour, 0 to 255, not rounded."""
    if transfer == "HLG":
        scene = [hlg_to_scene(value) for value in code]
        luminance = 0.2627 * scene[0] + 0.6780 * scene[1] + 0.0593 * scene[2]
        light = [1000 * luminance**0.2 * value if luminance else 0.0 for value in scene]
    else:
        light = [min(pq_to_light(value), 1000.0) for value in code]
    greatest = max(light)
    if greatest:
        peak, white = light_to_pq(1000), light_to_pq(203)
        top, e1 = white / peak, light_to_pq(greatest) / peak
        knee = 1.5 * top - 0.5
        if e1 >= knee:
            t = (e1 - knee) / (1 - knee)
            e1 = (
                (2 * t**3 - 3 * t**2 + 1) * knee
                + (t**3 - 2 * t**2 + t) * (1 - knee)
                + (3 * t**2 - 2 * t**3) * top
            )
        light = [value * pq_to_light(e1 * peak) / greatest / 203 for value in light]
    if bt2020:
        light = (primaries_matrix() @ light).tolist()
    return [255 * min(max(value, 0.0), 1.0) ** (1 / 2.4) for value in light]


def primaries_matrix() -> np.ndarray:
    """From BT.2020's primaries to BT.709's, by their chromaticities and D65."""

    def to_xyz(*corners: tuple[float, float]) -> np.ndarray:
        columns = np.array([[x / y, 1, (1 - x - y) / y] for x, y in corners]).T
        white = np.array([0.3127 / 0.3290, 1, (1 - 0.3127 - 0.3290) / 0.3290])
        return columns * np.linalg.solve(columns, white)

    wide = to_xyz((0.708, 0.292), (0.170, 0.797), (0.131, 0.046))
    usual = to_xyz((0.640, 0.330), (0.300, 0.600), (0.150, 0.060))
    return np.linalg.solve(usual, wide)


@pytest.mark.parametrize("bt2020", [True, False])
@pytest.mark.parametrize("transfer", ["HLG", "PQ"])
def test_against_the_reference(transfer: str, bt2020: bool) -> None:
    codes = [(grey, grey, grey) for grey in GREYS] + COLOURS
    signal = (np.array([codes]) * 65535).round().astype(np.uint16)
    got = tone_mapped(signal, transfer=transfer, bt2020=bt2020)
    assert got.dtype == np.uint8
    expected = [reference(code, transfer, bt2020=bt2020) for code in codes]
    assert np.abs(got[0] - np.array(expected)).max() < 0.6


def test_fixed_points() -> None:
    """Black stays, the brightest is white, and graphics white of BT.2408 is nearly so."""
    for transfer, white in (("HLG", 0.75), ("PQ", 0.58)):
        signal = np.array([[[0] * 3, [65535] * 3, [round(white * 65535)] * 3]], np.uint16)
        black, top, graphics = tone_mapped(signal, transfer=transfer)[0, :, 1].tolist()
        assert (black, top) == (0, 255)
        assert 210 < graphics < 240


@pytest.mark.parametrize(("transfer", "number"), [("HLG", 18), ("PQ", 16)])
def test_a_video_is_brought_to_ordinary_range_on_request(transfer, number, tmp_path) -> None:
    codes = [(0.2, 0.2, 0.2), (0.5, 0.5, 0.5), (0.75, 0.75, 0.75), (0.6, 0.4, 0.3)]
    path = tmp_path / "high.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p10le"
        stream.codec_context.color_trc = number
        stream.codec_context.color_primaries = stream.codec_context.colorspace = 9
        stream.codec_context.color_range = 1
        for code in codes:
            red, green, blue = code
            luma = 0.2627 * red + 0.6780 * green + 0.0593 * blue
            levels = [64 + 876 * luma]
            levels += [512 + 896 * (blue - luma) / 1.8814, 512 + 896 * (red - luma) / 1.4746]
            frame = av.VideoFrame(96, 64, "yuv420p10le")
            for plane, level in zip(frame.planes, levels, strict=True):
                plane.update(np.full(plane.buffer_size // 2, round(level), np.uint16))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with VideoReader(path, tone_map=True, short_side=40) as reader:
        images = reader.read(range(4))
    assert images.shape == (4, 40, 60, 3)
    for image, code in zip(images, codes, strict=True):
        expected = reference(code, transfer, bt2020=True)
        assert np.abs(image.reshape(-1, 3).astype(float) - expected).max() < 2.5
    with VideoReader(path) as reader:
        as_stored = reader.read([1])[0].astype(float)
    assert np.abs(as_stored - 0.5 * 255).max() < 2


def test_ordinary_videos_stay_as_they_are(tmp_path) -> None:
    path = media.write_video(tmp_path / "plain.mp4")
    images = []
    for tone_map in (False, True):
        with VideoReader(path, tone_map=tone_map) as reader:
            images.append(reader.read([3]))
    np.testing.assert_array_equal(*images)
