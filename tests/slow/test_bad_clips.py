"""A thousand clips, a hundred of them bad in ten ways: the run ends, and lists just those."""

import csv
import os
import shutil
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests import ROOT
from tests.fixtures import media
from vipl.data.manifests.manifest import Clip, write_manifest

CLIPS, OF_A_KIND, FRAMES = 1000, 10, 36
ALLOWED = 1.15
SETTINGS = [
    "trainer.max_steps=300",
    "data.steps_per_epoch=300",
    "trainer.limit_val_batches=0",
    "data.tuples=paper",
    "data.batch_size=8",
    "data.num_workers=2",
    "data.decode_timeout_s=2",
    "model.encoder.backbone=resnet10t",
    "model.encoder.image_size=96",
    "model.encoder.output_dim=32",
    "seed_everything=0",
]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
]
# `vipl`, with a decoder that sleeps where a file's name begins by "hanging".
VIPL = """
import sys
from tests.fixtures.decoder_stand_in import CHILD
from vipl.data.processes import isolation
isolation._CHILD = CHILD
from vipl.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty videos, copied to 900 names, and the bad ones."""
    folder = tmp_path_factory.mktemp("thousand")
    originals = [
        media.write_video(folder / f"original{seed}.mp4", media.moving_square(FRAMES, seed=seed))
        for seed in range(20)
    ]
    for number in range(CLIPS - 10 * OF_A_KIND):
        os.link(originals[number % 20], folder / f"good{number}.mp4")
    for number in range(OF_A_KIND):
        paths = {kind: folder / f"{kind}{number}.mp4" for kind in KINDS}
        media.write_empty(paths["empty"])
        media.write_garbage(paths["garbage"])
        media.write_lfs_pointer(paths["pointer"])
        media.write_truncated(paths["truncated"])
        media.write_audio_only(paths["audio"])
        media.write_video(paths["two_frames"], media.moving_square(2))
        paths["folder"].mkdir()
        shutil.copy(originals[number], paths["deleted"])
        damage(originals[number], paths["damaged"])
        os.link(originals[number], paths["hanging"])
    return folder


KINDS = (
    "empty", "garbage", "pointer", "truncated", "audio", "two_frames", "folder", "deleted",
    "damaged", "hanging",
)  # fmt: skip


def damage(source: Path, path: Path) -> None:
    """Overwrite the pictures, and leave the index as it is."""
    data = bytearray(source.read_bytes())
    start = data.index(b"mdat") + 4
    end = data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path.write_bytes(data)


def manifest_of(folder: Path, *, bad: bool) -> Path:
    names = [f"good{number}" for number in range(CLIPS - 10 * OF_A_KIND)]
    if bad:
        names += [f"{kind}{number}" for kind in KINDS for number in range(OF_A_KIND)]
    clips = [Clip(n, f"{n}.mp4", 0, FRAMES, 10.0, 128, 96, "train", "made", "") for n in names]
    out = folder / f"{'some_bad' if bad else 'all_good'}.parquet"
    write_manifest(clips, out, recipe={})
    return out


def train(manifest: Path, run: Path, *, delete: list[Path]) -> float:
    """Train in a process of its own; delete files once it has begun. Returns its seconds."""
    command = [sys.executable, "-c", VIPL, "fit", "--config", "configs/fit/quickstart.yaml"]
    command += [f"data.manifest={manifest}", f"run_dir={run}", *SETTINGS]
    begun = threading.Event()

    def remove() -> None:
        while not (run / "metrics").is_dir() and not begun.wait(0.05):
            pass
        for path in delete:
            path.unlink()

    thread = threading.Thread(target=remove)
    thread.start()
    start = time.perf_counter()
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    begun.set()
    thread.join()
    assert result.returncode == 0, result.stderr
    return time.perf_counter() - start


def test_a_hundred_of_a_thousand(folder, tmp_path, capsys):
    with_bad, without = manifest_of(folder, bad=True), manifest_of(folder, bad=False)
    ratios = []
    for number in range(3):
        deleted = [folder / f"deleted{index}.mp4" for index in range(OF_A_KIND)]
        slow = train(with_bad, tmp_path / f"bad{number}", delete=deleted)
        for path in deleted:
            shutil.copy(folder / "original0.mp4", path)
        fast = train(without, tmp_path / f"good{number}", delete=[])
        ratios.append(slow / fast)
        with (tmp_path / f"bad{number}" / "bad_clips.csv").open() as file:
            listed = {row["clip_id"] for row in csv.DictReader(file)}
        assert listed == {f"{kind}{index}" for kind in KINDS for index in range(OF_A_KIND)}
        with capsys.disabled():
            print(f"\n{slow:.1f} s with a hundred bad clips, {fast:.1f} s without any")
    assert statistics.median(ratios) < ALLOWED
