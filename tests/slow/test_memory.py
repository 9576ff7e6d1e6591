"""Memory of the loading and decoding processes does not grow with the clips that they have read."""

import pytest
from benchmarks.memory import measure

from tests.fixtures import media
from vipl.cli import main

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("prepared", [False, True])
def test_memory_after_six_thousand_clips(tmp_path, prepared):
    sizes = [(96, 128), (180, 320), (240, 320), (320, 180)]
    for number in range(24):
        height, width = sizes[number % len(sizes)]
        frames = media.moving_square(30, height, width, seed=number)
        media.write_video(tmp_path / "videos" / f"{number}.mp4", frames, bframes=number % 3)
    manifest = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", f"{tmp_path}/videos", "--out", str(manifest)]) == 0
    if prepared:
        assert main(["prepare", "--manifest", str(manifest), "--out", f"{tmp_path}/prepared"]) == 0
        manifest = tmp_path / "prepared" / "manifest.parquet"
    means = measure(manifest, clips=6000, workers=2)
    assert means[-1] < 1.05 * means[1]
