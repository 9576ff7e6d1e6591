"""A clip reads the same, whatever its file: the right frames, in the order that was asked for."""

import pickle

import numpy as np
import pytest
from PIL import Image

from tests.fixtures import media
from vipl.cli import main
from vipl.data.decoding.video import VideoReader
from vipl.data.loading.samples import MAX_ATTEMPTS, ClipReader, TrainingSamples
from vipl.data.loading.sampling import draw_clip
from vipl.data.manifests.manifest import read_manifest
from vipl.data.processes.augment import crop_and_resize


@pytest.fixture(scope="module", params=["source", "jpeg", "h264"])
def manifest(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    media.write_video(folder / "a.mp4", media.moving_square(40, 96, 160))
    source, out = folder / "m.parquet", folder / "prepared"
    assert main(["manifest", "build", "folder", str(folder), "--out", str(source)]) == 0
    if request.param == "source":
        return read_manifest(source)
    prepare = ["prepare", "--manifest", str(source), "--out", str(out), "--format", request.param]
    assert main(prepare) == 0
    return read_manifest(out / "manifest.parquet")


def test_frames_in_any_order_and_more_than_once(manifest):
    settings = {"size": 32, "scale": (0.4, 0.9), "central_fraction": 0.875}
    reader = ClipReader(manifest, decoder="auto", decode_short_side=None, timeout_s=20, **settings)
    clip = manifest[0]
    times = np.array([[30, 39, 2, 3], [2, 30, 30, 31]])
    got = reader.read(clip, times, seed=(1, 2)).numpy()
    assert got.shape == (2, 4, 3, 32, 32)
    with VideoReader(manifest.video_path(clip)) as video:
        frames = video.read(times.ravel().tolist())
    expected = crop_and_resize(frames, seed=(1, 2), **settings).reshape(got.shape)
    np.testing.assert_array_equal(got, expected)
    assert (got[0, 0] != got[0, 2]).any()
    assert set(reader.spent_s) == {"decode", "resample"}
    reader.process.close()


def test_a_sample_does_not_depend_on_those_before_it(tmp_path):
    """Half of a clip cannot be read: its other half stays in use, whoever has met the bad one."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number, frame in enumerate(media.moving_square(24, 48, 64)):
            Image.fromarray(frame).save(tmp_path / name / f"{number:06d}.jpg")
    source = tmp_path / "m.parquet"
    assert main(["manifest", "build", "frames", str(tmp_path), "--out", str(source)]) == 0
    for number in range(12, 24):
        (tmp_path / "a" / f"{number:06d}.jpg").write_text("torn")
    manifest = read_manifest(source)
    from_start = [samples_of(manifest)[n] for n in range(24)]
    samples = samples_of(manifest)
    for n in reversed(range(24)):
        batch = samples[n]
        assert batch.failures == from_start[n].failures
        assert batch.frames.equal(from_start[n].frames)
    torn = [n for n in range(24) if draw_clip(0, n, attempt=0, num_clips=2) == 0]
    assert 0 < sum(bool(from_start[n].failures) for n in torn) < len(torn)


def test_a_clip_that_hung_is_tried_by_no_other_process(tmp_path):
    media.write_video(tmp_path / "a.mp4", media.moving_square(24, 48, 64))
    source = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path), "--out", str(source)]) == 0
    samples = samples_of(read_manifest(source), timeout_s=1e-4)
    other = pickle.loads(pickle.dumps(samples))  # as in another process
    other.reader.process.timeout_s = 20
    assert other[0].frames.numel()
    assert len(samples[1].failures) == MAX_ATTEMPTS
    assert other[2].failures == samples[1].failures
    assert "did not decode within" in other[2].failures[0].reason
    samples.hung.close()
    later = samples_of(read_manifest(source))
    assert later[2].frames.numel()


def samples_of(manifest, *, timeout_s=20.0):
    settings = {"size": 32, "scale": (0.4, 0.9), "central_fraction": 0.875}
    reader = ClipReader(
        manifest, decoder="auto", decode_short_side=None, timeout_s=timeout_s, **settings
    )
    return TrainingSamples(reader, seed=0, tuples="paper", pairs_per_clip=0)
