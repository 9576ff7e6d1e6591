"""Real-robot and human videos, from a folder beside the repository, through the whole path.

Where the folder is missing these tests skip; small videos made on the spot cover the same path.
"""

import csv

import pytest

from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest


@pytest.fixture(scope="module")
def manifest(media_dir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    for name in ("human", "robot"):
        (folder / name).symlink_to(media_dir / name)
    out = folder / "m.parquet"
    arguments = ["manifest", "build", "folder", str(folder), "--out", str(out)]
    assert main([*arguments, "--clip-seconds", "4", "--val-fraction", "0.2"]) == 0
    return out


def test_they_are_read_and_split_by_video(manifest):
    clips = list(read_manifest(manifest))
    assert len({clip.path for clip in clips}) == 17
    sides = {}
    for clip in clips:
        sides.setdefault(clip.path, set()).add(clip.split)
    assert all(len(found) == 1 for found in sides.values())
    assert {clip.split for clip in clips} == {"train", "val"}


@pytest.mark.slow
def test_an_encoder_trains_on_them_for_twenty_steps_and_draws_curves(manifest, tmp_path):
    config = tmp_path / "base.yaml"
    config.write_text("trainer: {enable_model_summary: false, enable_progress_bar: false}\n")
    run = tmp_path / "run"
    arguments = [
        f"data.manifest={manifest}", f"run_dir={run}", "trainer.accelerator=cpu",
        "trainer.max_steps=20", "trainer.val_check_interval=20",
        "trainer.check_val_every_n_epoch=null", "trainer.log_every_n_steps=5",
        "model.encoder.backbone=resnet10t", "model.encoder.output_dim=32",
        "model.encoder.image_size=64", "data.image_size=64", "data.batch_size=4",
        "data.num_workers=2", "data.decode_short_side=96", "data.steps_per_epoch=20",
        "data.val_clips=4", "data.val_frames=16",
    ]  # fmt: skip
    assert main(["fit", "--config", str(config), *arguments]) == 0
    assert not (run / "bad_clips.csv").exists()
    robot = manifest.parent / "robot"
    encoders = ["--encoder", f"trained={run}", "--encoder", f"initial={run / 'encoder_initial'}"]
    out = tmp_path / "curves"
    assert main(["curves", str(robot), *encoders, "--out", str(out), "--max-frames", "20"]) == 0
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 8
    assert len(list(out.glob("*.png"))) == 8
