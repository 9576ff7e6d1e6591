"""`vipl fit` on small real videos, through the command's own entry."""

import csv
import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from tests.fixtures import media
from vipl import load_encoder
from vipl.cli import main
from vipl.data.loading.datamodule import VideoDataModule
from vipl.data.manifests.manifest import read_manifest

SETTINGS = [
    "trainer.accelerator=cpu",
    "trainer.max_steps=6",
    "trainer.val_check_interval=3",
    "trainer.check_val_every_n_epoch=null",
    "trainer.log_every_n_steps=1",
    "trainer.enable_progress_bar=false",
    "model.encoder.backbone=mobilenetv3_small_050",
    "model.encoder.output_dim=16",
    "model.encoder.image_size=32",
    "data.image_size=32",
    "data.batch_size=2",
    "data.num_workers=1",
    "data.val_frames=8",
]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of six good videos and its manifest."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(6):
        media.write_video(folder / f"{number}.mp4", media.moving_square(20, 48, 64, seed=number))
    out = folder / "m.parquet"
    build = ["manifest", "build", "folder", str(folder), "--out", str(out), "--val-fraction", "0.3"]
    assert main(build) == 0
    return folder


@pytest.fixture
def config(tmp_path):
    file = tmp_path / "base.yaml"
    file.write_text("trainer: {enable_model_summary: false}\n")
    return file


def fit(config, manifest, run_dir, *more):
    arguments = [f"data.manifest={manifest}", f"run_dir={run_dir}", *SETTINGS, *more]
    return main(["fit", "--config", str(config), *arguments])


def metrics(run_dir, folder="metrics"):
    with (run_dir / folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name]) for row in rows if row.get(name)] for row in rows for name in row
    }


@pytest.mark.parametrize("tuples", ["paper", "dense"])
def test_a_run_leaves_what_it_promises(videos, config, tmp_path, tuples):
    run = tmp_path / "run"
    assert fit(config, videos / "m.parquet", run, f"data.tuples={tuples}") == 0
    logged = metrics(run)
    assert len(logged["train/loss"]) == 6
    for name in (
        "train/attraction", "train/repulsion", "train/l1_norm", "train/l2_norm",
        "train/learning_rate", "perf/clips_per_second", "perf/data_wait_share",
        "perf/decode_failures", "val/loss", "val/bumps", "val/value_order_correlation",
    ):  # fmt: skip
        assert logged[name], name
    penalty = 0.001 * (logged["train/l1_norm"][0] + logged["train/l2_norm"][0])
    terms = logged["train/attraction"][0] + logged["train/repulsion"][0]
    assert logged["train/loss"][0] == pytest.approx(terms + penalty, rel=1e-5)
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert list((run / "tensorboard").glob("events.*"))
    assert not (run / "bad_clips.csv").exists()
    with Image.open(run / "curves" / "step_0000006.png") as picture:
        assert picture.width > 500
    images = torch.zeros(1, 3, 50, 60, dtype=torch.uint8)
    exported = load_encoder(run).embed(images)
    from_checkpoint = load_encoder(run / "checkpoints" / "last.ckpt").embed(images)
    torch.testing.assert_close(exported, from_checkpoint, rtol=0, atol=0)
    initial = load_encoder(run / "encoder_initial").embed(images)
    assert (initial - exported).abs().max() > 1e-6


def test_a_run_starts_from_the_encoder_of_another(videos, config, tmp_path, capsys):
    first, second = tmp_path / "first", tmp_path / "second"
    assert fit(config, videos / "m.parquet", first) == 0
    assert fit(config, videos / "m.parquet", second, f"model.weights={first}") == 0
    images = torch.zeros(1, 3, 50, 60, dtype=torch.uint8)
    ended, began = (load_encoder(run).embed(images) for run in (first, second / "encoder_initial"))
    assert torch.equal(ended, began)
    assert not torch.equal(load_encoder(second).embed(images), began)
    capsys.readouterr()
    more = f"model.weights={first}", "model.encoder.output_dim=8"
    assert fit(config, videos / "m.parquet", tmp_path / "third", *more) == 2
    message = capsys.readouterr().err
    assert "model.encoder has output_dim 8 and not 16" in message
    assert "Traceback" not in message
    assert not (tmp_path / "third").exists()


def test_the_same_seed_gives_the_same_losses_whatever_the_workers(videos, config, tmp_path):
    losses = {}
    for name, more in {
        "none": ["data.num_workers=0"],
        "two": ["data.num_workers=2"],
        "pyav": ["data.decoder=pyav"],
        "other": ["seed_everything=1"],
    }.items():
        assert fit(config, videos / "m.parquet", tmp_path / name, *more) == 0
        losses[name] = metrics(tmp_path / name)["train/loss"]
    assert losses["none"] == losses["two"] == losses["pyav"]
    assert losses["none"] != losses["other"]


def test_several_tuples_of_a_clip_are_one_batch(videos, config, tmp_path):
    run = tmp_path / "run"
    assert fit(config, videos / "m.parquet", run, "data.tuples_per_clip=3") == 0
    module = VideoDataModule(
        str(videos / "m.parquet"), batch_size=2, image_size=32, tuples_per_clip=3, num_workers=0
    )
    batch = next(iter(module.train_dataloader()))
    assert batch.frames.shape == (6, 4, 3, 32, 32)
    assert (batch.times.shape, batch.num_clips) == ((6, 4), 2)
    # Of each clip the tuples differ, and one frame is one picture wherever it is drawn.
    for clip in (slice(0, 3), slice(3, 6)):
        times, frames = batch.times[clip].flatten(), batch.frames[clip].flatten(0, 1)
        assert len(set(times.tolist())) > 4
        for moment in times.unique():
            same = frames[times == moment]
            assert (same == same[0]).all()
    assert len(metrics(run)["train/loss"]) == 6


def test_the_saved_configuration_makes_the_run_again(videos, config, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    assert fit(config, videos / "m.parquet", first) == 0
    assert main(["fit", "--config", str(first / "config.yaml"), f"run_dir={second}"]) == 0
    assert metrics(first)["train/loss"] == metrics(second)["train/loss"]


def test_training_learns_to_order_a_simple_scene(videos, config, tmp_path):
    more = [
        "trainer.max_steps=120",
        "trainer.val_check_interval=10",
        "model.objective.init_args.num_negatives=0",
        "model.encoder.backbone=resnet10t",
        "model.encoder.central_fraction=1.0",
        "model.optimizer.class_path=torch.optim.Adam",
        "model.optimizer.init_args.lr=0.003",
        "data.tuples=dense",
        "data.central_fraction=1.0",
        "data.crop_scale=[1.0,1.0]",
        "data.val_frames=20",
    ]
    assert fit(config, videos / "m.parquet", tmp_path / "run", *more) == 0
    logged = metrics(tmp_path / "run")
    # The mean of the last few: where each lies depends on how a processor rounds.
    assert np.mean(logged["val/value_order_correlation"][-3:]) > 0.8
    assert np.mean(logged["val/bumps"][-3:]) < 0.3 < logged["val/bumps"][0]
    assert logged["train/loss"][-1] < -3 < logged["train/loss"][0]


def test_bad_clips_are_left_out_listed_and_counted(tmp_path, config):
    for number in range(9):
        media.write_video(
            tmp_path / "v" / f"{number}.mp4", media.moving_square(20 + number, 48, 64)
        )
    out = tmp_path / "m.parquet"
    build = ["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]
    assert main(build) == 0
    train = [clip.path for clip in read_manifest(out).only("train")]
    (tmp_path / "v" / train[0]).write_bytes(b"")
    (tmp_path / "v" / train[1]).write_bytes(b"no longer a video")
    run = tmp_path / "run"
    assert fit(config, out, run, "data.max_failure_rate=0.9", "trainer.max_steps=12") == 0
    with (run / "bad_clips.csv").open() as file:
        listed = list(csv.DictReader(file))
    assert sorted(row["path"] for row in listed) == sorted(train[:2])
    assert all(row["reason"] for row in listed)
    assert metrics(run)["perf/decode_failures"][-1] >= 2


def test_too_many_bad_clips_stop_the_run(tmp_path, config, capsys):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(20, 48, 64))
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]) == 0
    (tmp_path / "v" / "a.mp4").write_bytes(b"no longer a video")
    capsys.readouterr()
    assert fit(config, out, tmp_path / "run") == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "10 clips in a row could not be read" in message
    assert "a.mp4" in message


def test_files_that_are_missing_at_the_start(tmp_path, config, capsys):
    for number in range(3):
        media.write_video(tmp_path / "v" / f"{number}.mp4", media.moving_square(20, 48, 64))
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]) == 0
    (tmp_path / "v" / "1.mp4").unlink()
    assert fit(config, out, tmp_path / "run") == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"1 of 3 files are not in {tmp_path / 'v'}, the first is 1.mp4: data.root=…" in message
    assert not (tmp_path / "run").exists()
    assert fit(config, out, tmp_path / "run", "data.allow_missing=true") == 0
    assert not (tmp_path / "run" / "bad_clips.csv").exists()


def test_a_manifest_without_held_out_clips_trains(tmp_path, config):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(20, 48, 64))
    out = tmp_path / "m.parquet"
    assert main(["manifest", "build", "folder", str(tmp_path / "v"), "--out", str(out)]) == 0
    assert fit(config, out, tmp_path / "run") == 0
    assert load_encoder(tmp_path / "run").output_dim == 16


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["model.objective.init_args.gama=0.9"],
            "no key 'model.objective.init_args.gama': did you mean model.objective.init_args.gamma",
        ),
        (["model.objective.class_path=TNC"], "model.objective.class_path is 'TNC', which is none"),
        (
            ["model.objective.class_path=TCN", "model.objective.init_args.gamma=0.9"],
            "no key 'model.objective.init_args.gamma'",
        ),
        (["model.objective=TCN", "data.batch_size=0"], "data.batch_size is 0"),
        (["model.objective.init_args.num_negatives=-1"], "num_negatives is -1, expected 0 or more"),
        (
            ["model.encoder.bakbone=x"],
            "no key 'model.encoder.bakbone': did you mean model.encoder.b",
        ),
        (["modle.l1_weight=0.9"], "no key 'modle.l1_weight': did you mean model.l1_weight"),
        (["model.objective.init_args.gamma=high"], "model.objective.*gamma.*float"),
        (["data.tuples=sparse"], "data.tuples"),
        (["model.encoder.backbone=resnet1O"], "did you mean resnet1"),
        (["data.image_size=48"], "data.image_size and model.encoder.image_size must agree"),
        (["data.manifest=nowhere.parquet"], "there is no manifest nowhere.parquet"),
        (["data.manifest=null"], "data.manifest"),
        (["data.crop_scale=[0.5,0.2]"], "data.crop_scale is .0.5, 0.2."),
        (["ckpt_path=nowhere.ckpt"], "there is no checkpoint nowhere.ckpt"),
        (["checkpoint.kep=3"], "no key 'checkpoint.kep': did you mean checkpoint.keep"),
        (["model.optimizer.class_path=torch.optim.Adamm"], "Adamm"),
        (["data.batch_size=0"], "data.batch_size is 0"),
        (["data.num_workers=-1"], "data.num_workers is -1"),
        (["gamma"], "'gamma' is not an argument of the form key=value"),
    ],
)
def test_mistakes_are_one_sentence_and_exit_status_2(
    videos, config, tmp_path, capsys, more, message
):
    assert fit(config, videos / "m.parquet", tmp_path / "run", *more) == 2
    error = capsys.readouterr().err
    last = error.strip().splitlines()[-1]
    assert last.startswith("vipl: ")
    assert re.search(message, last), last
    assert "Traceback" not in error


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_one_sentence(videos, config, tmp_path, capsys):
    assert fit(config, videos / "m.parquet", tmp_path / "run", "trainer.accelerator=cuda") == 2
    assert "vipl: trainer: " in capsys.readouterr().err


@pytest.mark.parametrize("wrong", ["data.manifest=nowhere.csv", "model.encoder.backbone=resnet1O"])
def test_a_run_that_is_refused_leaves_no_folder(videos, config, tmp_path, wrong):
    assert fit(config, videos / "m.parquet", tmp_path / "run", wrong) == 2
    assert not (tmp_path / "run").exists()


def test_a_run_is_not_overwritten_unless_asked(videos, config, tmp_path, capsys):
    run = tmp_path / "run"
    assert fit(config, videos / "m.parquet", run) == 0
    assert fit(config, videos / "m.parquet", run) == 2
    assert "holds a run already: choose another folder by run_dir" in capsys.readouterr().err
    assert fit(config, videos / "m.parquet", run, "overwrite=true") == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    assert fit(config, videos / "m.parquet", tmp_path / "other", "overwrite=true") == 2
    assert (tmp_path / "other" / "thesis.txt").read_text() == "precious"


def command(config, manifest, run_dir, *more):
    arguments = [f"data.manifest={manifest}", f"run_dir={run_dir}", *SETTINGS, *more]
    return [sys.executable, "-m", "vipl.cli", "fit", "--config", str(config), *arguments]


@contextmanager
def endless(config, manifest, run_dir):
    """A run in a process of its own, killed at the latest when the block ends."""
    with subprocess.Popen(
        command(config, manifest, run_dir, "trainer.max_steps=100000"),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_two_runs_in_one_folder_at_once(videos, config, tmp_path, capsys):
    run = tmp_path / "run"
    with endless(config, videos / "m.parquet", run) as first:
        wait_for(run / "config.yaml", first)
        assert fit(config, videos / "m.parquet", run, "overwrite=true") == 2
        assert "another `vipl fit` is writing to" in capsys.readouterr().err


def test_a_killed_run_leaves_a_checkpoint_that_loads(videos, config, tmp_path):
    run = tmp_path / "run"
    with endless(config, videos / "m.parquet", run) as process:
        wait_for(run / "encoder" / "config.json", process)
        time.sleep(0.3)
    assert load_encoder(run / "encoder").output_dim == 16


def wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert process.poll() is None, "the run ended early"
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.1)


def test_print_config_shows_the_resolved_configuration(videos, config, tmp_path, capsys):
    more = ["data.image_size=${model.encoder.image_size}"]
    arguments = [f"data.manifest={videos / 'm.parquet'}", *SETTINGS, *more]
    assert main(["fit", "--config", str(config), "--print-config", *arguments]) == 0
    printed = yaml.safe_load(capsys.readouterr().out)
    assert printed["data"]["image_size"] == 32
    assert printed["model"]["objective"]["init_args"]["gamma"] == 0.98
    assert not Path("runs/base").exists()


@pytest.mark.parametrize("name", ["1e5", "-1.5E-3", "20261129", "2026-11-29", "runs/a #1"])
def test_what_print_config_shows_is_read_as_it_was(tmp_path, capsys, name):
    arguments = [
        "fit",
        "--config",
        "folder",
        "data.manifest=m",
        f"run_dir={name}",
        "--print-config",
    ]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["run_dir"] == name
    (tmp_path / "again.yaml").write_text(printed)
    assert main(["fit", "--config", str(tmp_path / "again.yaml"), "--print-config"]) == 0
    assert capsys.readouterr().out == printed


def test_help_shows_every_key_with_its_docstring(capsys):
    with pytest.raises(SystemExit) as exit_info:
        main(["fit", "--help"])
    assert exit_info.value.code == 0
    shown = capsys.readouterr().out
    assert "--model.objective.init_args.gamma" in shown
    assert "Share of draws that may fail" in shown


def test_an_encoder_folder_says_what_it_is(videos, config, tmp_path):
    assert fit(config, videos / "m.parquet", tmp_path / "run") == 0
    content = json.loads((tmp_path / "run" / "encoder" / "config.json").read_text())
    assert content["format"] == "vipl-encoder"
    assert content["image_size"] == 32
