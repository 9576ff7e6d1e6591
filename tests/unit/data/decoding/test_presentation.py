"""When frames are shown: as the container says of each, not as its header says of all."""

import av
import numpy as np
import pyarrow as pa
import pytest

from tests.fixtures import media
from vipl.data.decoding.presentation import rhythm, rhythm_of, shown_at, spans_of
from vipl.data.decoding.probe import glance, probe
from vipl.data.decoding.video import VideoError, VideoReader
from vipl.data.encoding.formats import FORMATS
from vipl.data.sources.spans import frames_between, parts_by_time

# Thirty frames at 30 Hz, then twelve at 5 Hz, in thirtieths.
TIMES = [*range(30), *range(30, 102, 6)]


def by_hand(path) -> np.ndarray:
    """The times of all decoded frames, in seconds from the first."""
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    return np.array(times) - times[0]


def write(path, times=TIMES, *, fps=30, bframes=0):
    return media.write_video(
        path, media.moving_square(len(times), 48, 64), fps=fps, times=times, bframes=bframes
    )


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts", "a.avi", "a.flv"])
def test_an_even_video_keeps_the_rate_of_its_header(tmp_path, name):
    path = media.write_video(tmp_path / name, media.moving_square(40, 48, 64), fps=30)
    with av.open(str(path)) as container:
        said = float(container.streams.video[0].average_rate)
    assert rhythm(path) == (said, ())
    assert (probe(path).fps_hz, probe(path).times_s) == (said, [])


@pytest.mark.parametrize(("name", "bframes"), [("a.mp4", 2), ("a.mkv", 0), ("a.ts", 2)])
def test_a_varying_video_has_its_frames_times(tmp_path, name, bframes):
    path = write(tmp_path / name, bframes=bframes)
    found = rhythm(path)
    np.testing.assert_allclose(found.times_s[:-1], by_hand(path), atol=1e-9)
    np.testing.assert_allclose(found.times_s[:-1], np.array(TIMES) / 30, atol=1e-3)
    assert found.times_s[-1] == pytest.approx(3.4, abs=1e-3)  # the last is shown for a fifth
    assert found.fps_hz == pytest.approx(42 / 3.4, abs=1e-2)
    for info in (probe(path), glance(path)):
        assert (info.fps_hz, tuple(info.times_s)) == found
    with VideoReader(path) as reader:
        assert reader.fps_hz == found.fps_hz


def test_a_header_that_says_another_rate_is_not_believed(tmp_path):
    path = write(tmp_path / "a.mkv", range(0, 60, 2))
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 30
    assert rhythm(path).times_s == ()
    assert rhythm(path).fps_hz == pytest.approx(15, rel=1e-3)


def test_what_an_edit_list_hides_has_no_time(tmp_path):
    whole = write(tmp_path / "a.mp4")
    cut = media.cut_without_reencoding(whole, tmp_path / "cut.mp4", first=20)
    times = rhythm(cut).times_s[:-1]
    assert times[0] == 0
    np.testing.assert_allclose(times, np.array(TIMES[20:]) / 30 - TIMES[20] / 30, atol=1e-3)
    with VideoReader(cut) as reader:
        assert reader.num_frames == len(times)


def test_a_transport_streams_clock_may_jump(tmp_path):
    joined = [*range(20), *range(2000, 2020)]
    assert rhythm(write(tmp_path / "a.ts", joined)) == (30.0, ())
    assert rhythm(write(tmp_path / "a.mp4", joined)).fps_hz == pytest.approx(40 * 30 / 2020)


def test_one_frame_and_two():
    assert rhythm_of([0.0], 25) == rhythm_of([], 25) == (25, ())
    assert rhythm_of([0.0, 0.0], 25) == (25, ())
    assert rhythm_of([0.0, 0.1], 10) == (10, ())
    assert rhythm_of([0.0, 0.1], 0) == (10, ())


@pytest.mark.parametrize("count", [3, 100, 100_000])
def test_times_in_milliseconds_are_even(count):
    exact = np.arange(count) * 1001 / 30000
    for rounded in (np.round(exact, 3), np.floor(exact * 1000) / 1000):
        assert rhythm_of(rounded, 30000 / 1001) == (30000 / 1001, ())
    late = exact.copy()
    late[1] += 0.005
    assert len(rhythm_of(late, 30000 / 1001).times_s) == count + 1


def test_ticks_of_hundredths_are_even_and_coarser_ones_are_not_passed_over():
    hundredths = np.round(np.arange(50) / 30, 2)
    assert rhythm_of(hundredths, 0, tick_s=0.01).times_s == ()
    dropped = np.delete(np.arange(50) / 30, 10)
    assert rhythm_of(dropped, 30, tick_s=1 / 30).times_s != ()


def test_the_frames_on_the_screen():
    times = [0.0, 0.1, 0.2, 1.2, 2.2, 3.2]  # the last ends at 3.2
    assert shown_at(times, 1).tolist() == [0, 2, 3, 4]  # at 1, 2 and 3: since 0.2, 1.2 and 2.2
    assert shown_at(times, 10).tolist() == [0, 1, 2, 3, 4]  # each once
    assert shown_at([5 + time for time in times], 1).tolist() == [0, 2, 3, 4]
    assert shown_at([0.0, 0.333, 0.667, 1.0, 1.333], 3).tolist() == [0, 1, 2, 3]


def test_the_times_of_some_frames():
    times = [0.0, 0.1, 0.2, 1.2, 2.2, 3.2]
    assert spans_of(times, [1, 3]) == [0.1, 1.2, 3.2]
    assert spans_of(times, [4]) == [2.2, 3.2]
    assert spans_of(times, [4, 8]) == [2.2, 3.2, 3.2]  # a manifest that names too many


def test_seconds_become_frames_by_their_times():
    times = [0.0, 0.1, 0.2, 1.2, 2.2, 3.2]
    assert frames_between(0.1, 1.2, 99.0, times) == (1, 3)
    assert frames_between(0.15, 9.0, 99.0, times) == (2, 5)
    assert frames_between(0.0, 0.05, 99.0, times) == (0, 1)


def test_parts_last_equally_long():
    even = [number / 10 for number in range(41)]
    assert parts_by_time(even, 1.0) == [0, 10, 20, 30, 40]
    slow = [*(number / 10 for number in range(20)), *(2 + number / 2 for number in range(17))]
    assert parts_by_time(slow, 2.5) == [0, 21, 26, 31, 36]
    # A second has too few frames after the first two: what they are is joined.
    assert parts_by_time(slow, 1.0) == [0, 10, 20, 24, 28, 32, 36]
    assert parts_by_time([0.0, 1.0, 2.0, 3.0], 0.1) == [0, 3]


@pytest.mark.parametrize("times", ["7", "{}", "[0.0]", '[0, "1"]', "[0, NaN]", "[1, 0]", "x"])
def test_packed_frames_with_times_that_are_none(tmp_path, times):
    path = tmp_path / "a.arrow"
    facts = {"width": "8", "height": "8", "fps_hz": "10", "times_s": times}
    schema = pa.schema([("jpeg", pa.binary())], facts)
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        for _ in range(2):
            writer.write(pa.record_batch([[b""]], schema=schema))
    with pytest.raises(VideoError, match=r"a\.arrow: not packed frames that can be read"):
        rhythm(path)


@pytest.mark.parametrize("name", FORMATS)
def test_each_format_keeps_times(tmp_path, name):
    times = [time / 30 for time in TIMES]
    path = tmp_path / f"a{FORMATS[name].suffix}"
    FORMATS[name].encode(path, media.moving_square(len(times), 48, 64), fps_hz=12, times_s=times)
    found = rhythm(path)
    np.testing.assert_allclose(found.times_s[:-1], times, atol=2e-5)
    with VideoReader(path) as reader:
        assert reader.num_frames == len(times)
    if path.suffix == ".mp4":
        np.testing.assert_allclose(by_hand(path), times, atol=2e-5)
