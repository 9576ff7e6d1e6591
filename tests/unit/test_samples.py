"""A clip reads the same, whatever its file: the right frames, in the order that was asked for."""

import numpy as np
import pytest
from tests import media

from vipl.cli import main
from vipl.data.augment import crop_and_resize
from vipl.data.manifest import read_manifest
from vipl.data.samples import ClipReader
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
