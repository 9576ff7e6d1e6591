"""Videos whose frames are not evenly spaced, through manifests, `vipl embed` and `vipl prepare`."""

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from tests import SHARED
from tests.fixtures import media
from vipl import save_encoder
from vipl.cli import main
from vipl.data.decoding.presentation import rhythm
from vipl.data.manifests.manifest import read_manifest
from vipl.models import Encoder

CASES = SHARED / "cases" / "video"
# Four seconds at 10 Hz, then eight at 2.5 Hz: the header of Matroska says 10.
TIMES = [*range(40), *range(40, 120, 4)]


def by_hand(path) -> np.ndarray:
    with av.open(str(path)) as container:
        times = [float(frame.pts * frame.time_base) for frame in container.decode(video=0)]
    return np.array(times) - times[0]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    network = Encoder("resnet10t", output_dim=4, image_size=32)
    return save_encoder(network, tmp_path_factory.mktemp("encoder") / "e")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """A varying video and an even one, cut into clips of three seconds."""
    folder = tmp_path_factory.mktemp("videos")
    pictures = media.moving_square(len(TIMES), 48, 64)
    media.write_video(folder / "varying.mkv", pictures, fps=10, times=TIMES)
    media.write_video(folder / "even.mkv", pictures, fps=10)
    build = ["manifest", "build", "folder", str(folder), "--out", str(folder / "m.parquet")]
    assert main([*build, "--clip-seconds", "3"]) == 0
    return folder / "m.parquet"


def embed(encoder, videos, out, *more):
    options = ["--encoder", encoder, "--videos", videos, "--out", out, "--workers", 0, *more]
    assert main(["embed", *map(str, options)]) == 0
    return pq.read_table(out)


def test_clips_last_as_long_as_they_should(manifest):
    clips = [clip for clip in read_manifest(manifest) if clip.path.startswith("varying")]
    assert [(clip.start_frame, clip.end_frame) for clip in clips] == [
        (0, 30), (30, 45), (45, 53), (53, 60),
    ]  # fmt: skip
    assert [clip.fps for clip in clips] == [pytest.approx(60 / 12, rel=1e-3)] * 4
    even = [clip for clip in read_manifest(manifest) if clip.path.startswith("even")]
    assert [(clip.start_frame, clip.end_frame) for clip in even] == [(0, 30), (30, 60)]
    assert {clip.fps for clip in even} == {10.0}


def test_times_are_those_of_the_frames(manifest, encoder, tmp_path):
    video = manifest.parent / "varying.mkv"
    expected = by_hand(video)
    table = embed(encoder, video, tmp_path / "all.parquet")
    np.testing.assert_allclose(table["time_s"], expected, atol=1e-9)
    table = embed(encoder, video, tmp_path / "seconds.parquet", "--fps", 1)
    assert table["frame"].to_pylist() == [0, 10, 20, 30, 40, 42, 45, 47, 50, 52, 55, 57]
    np.testing.assert_allclose(table["time_s"], expected[table["frame"]], atol=1e-9)
    assert (np.abs(table["time_s"].to_numpy() - np.arange(12)) < 0.4).all()


def test_clips_of_a_manifest_have_the_same_times(manifest, encoder, tmp_path):
    video = manifest.parent / "varying.mkv"
    table = embed(encoder, manifest, tmp_path / "all.parquet", "--fps", 1)
    of_video = np.array([path == video.name for path in table["path"].to_pylist()])
    frames, times = (table[name].to_numpy()[of_video] for name in ("frame", "time_s"))
    assert frames.tolist() == [0, 10, 20, 30, 40, 42, 45, 47, 50, 52, 53, 55, 58]
    np.testing.assert_allclose(times, by_hand(video)[frames], atol=1e-9)
    even = table["time_s"].to_numpy()[~of_video]
    np.testing.assert_array_equal(even, [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize("name", ["jpeg", "h264"])
def test_prepared_clips_keep_their_times(manifest, tmp_path, name):
    out = tmp_path / "prepared"
    options = ["--format", name, "--short-side", "32", "--workers", "1"]
    assert main(["prepare", "--manifest", str(manifest), "--out", str(out), *options]) == 0
    prepared = out / "manifest.parquet"
    assert main(["manifest", "check", str(prepared), "--workers", "1"]) == 0
    old, new = read_manifest(manifest), read_manifest(prepared)
    for before, after in zip(old, new, strict=True):
        source = by_hand(old.video_path(before))[before.start_frame : before.end_frame]
        found = rhythm(new.video_path(after))
        assert found.fps_hz == pytest.approx(after.fps, rel=1e-4)
        times = found.times_s[:-1] or np.arange(after.num_frames) / found.fps_hz
        np.testing.assert_allclose(times, source - source[0], atol=2e-3)
    # Where even clips go on, nothing is noted down but the rate that there was.
    assert {clip.fps for clip in new if clip.path.startswith("even")} <= {10.0}
    assert len(list((out / "shards" / "rates").iterdir())) == 4


@pytest.mark.slow
@pytest.mark.skipif(not CASES.is_dir(), reason="no ../shared/cases")
@pytest.mark.parametrize(
    ("name", "fps_hz", "rate", "frames"),
    [("varying_rate.webm", 7.8, 1, 27), ("varying_rate.mp4", 15.0, 5, 20)],
)
def test_the_cases_that_were_found(encoder, tmp_path, name, fps_hz, rate, frames):
    (tmp_path / name).symlink_to(CASES / name)
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path), "--out", str(out)]) == 0
    clips = list(read_manifest(out))
    assert clips[0].fps == pytest.approx(fps_hz, abs=0.05)
    assert len(clips) == (3 if name.endswith("webm") else 1)
    table = embed(encoder, tmp_path / name, tmp_path / "e.parquet", "--fps", rate)
    assert len(table) == frames
    np.testing.assert_allclose(table["time_s"], np.arange(frames) / rate, atol=0.1)
    np.testing.assert_allclose(table["time_s"], by_hand(CASES / name)[table["frame"]], atol=1e-9)
