"""A clip reads the same, whatever its file: the right frames, in the order that was asked for."""

import pickle

import numpy as np
import pytest
from PIL import Image
from tests import media

from vipl.cli import main
from vipl.data.augment import crop_and_resize
from vipl.data.manifest import Clip, read_manifest, write_manifest
from vipl.data.samples import MAX_ATTEMPTS, ClipReader, TrainingSamples
from vipl.data.sampling import crop_seed, draw_clip
from vipl.data.video import VideoReader


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


def test_a_clip_goes_on_with_the_ends_of_others_of_its_label(tmp_path):
    for name, frames in (("a", 5), ("b", 6), ("c", 7)):
        media.write_video(tmp_path / f"{name}.mp4", media.moving_square(frames, 48, 64))
    clips = [clip_of(name, frames, label) for name, frames, label in
             (("a", 5, "open"), ("b", 6, "open"), ("c", 7, "close"))]  # fmt: skip
    write_manifest(clips, tmp_path / "m.parquet", recipe={})
    manifest = read_manifest(tmp_path / "m.parquet")
    samples = samples_of(manifest, other_ends=2)
    seen = set()
    for n in range(60):
        row = draw_clip(0, n, attempt=0, num_clips=3)
        batch, clip = samples[n], manifest[row]
        others = samples.draw_ends(n, row)
        assert others.tolist() == ([] if clip.label == "close" else [1 - row] * 2)
        crop = crop_seed(0, n, attempt=0)
        for time, frame in zip(batch.times.flatten(), batch.frames.flatten(0, 1), strict=True):
            is_end = time >= clip.num_frames
            source, last = (manifest[int(1 - row)], True) if is_end else (clip, False)
            expected = source.num_frames - 1 if last else int(time)
            assert frame.equal(samples.reader.read(source, np.array([expected]), seed=crop)[0])
            seen.add((clip.label, bool(is_end)))
    assert seen == {("open", False), ("open", True), ("close", False)}


def test_an_end_that_cannot_be_read_is_a_failure_like_any(tmp_path):
    media.write_video(tmp_path / "a.mp4", media.moving_square(5, 48, 64))
    (tmp_path / "b.mp4").write_bytes(b"no video")
    clips = [clip_of(name, 5, "open") for name in "ab"]
    write_manifest(clips, tmp_path / "m.parquet", recipe={})
    samples = samples_of(read_manifest(tmp_path / "m.parquet"), other_ends=1)
    batches = [samples[n] for n in range(20)]
    assert all(failure.clip_id == "b" for batch in batches for failure in batch.failures)
    whole = [batch for batch in batches if batch.frames.numel()]
    assert whole
    assert all((batch.times < 5).all() for batch in whole)


def clip_of(name, frames, label):
    return Clip(name, f"{name}.mp4", 0, frames, 10.0, 64, 48, "train", "test", label)


def samples_of(manifest, *, timeout_s=20.0, other_ends=0):
    settings = {"size": 32, "scale": (0.4, 0.9), "central_fraction": 0.875}
    reader = ClipReader(
        manifest, decoder="auto", decode_short_side=None, timeout_s=timeout_s, **settings
    )
    return TrainingSamples(reader, seed=0, tuples="paper", pairs_per_clip=0, other_ends=other_ends)
