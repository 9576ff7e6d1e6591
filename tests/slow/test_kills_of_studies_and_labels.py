"""Kills at random moments of `vipl study run` and `vipl label`, and disks that are full."""

import contextlib
import csv
import random
import shutil
import signal
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest
import torch
import yaml
from omegaconf import OmegaConf
from PIL import Image

from tests.fixtures import media
from tests.fixtures.runs import TINY, Run
from vipl import load_encoder, save_encoder

KILLS = 20
SIDE = 48
LENGTH = ["trainer.max_steps=60", "data.steps_per_epoch=20"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore:.*is set to None"),
]
SIGNALS = [signal.SIGKILL] * 3 + [signal.SIGTERM]
ON_A_SMALL_DISK = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    torch.manual_seed(0)
    return save_encoder(
        load_encoder("random:test_resnet"), tmp_path_factory.mktemp("e") / "encoder"
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A Minari data set of twenty episodes, and the picture of a goal."""
    minari = pytest.importorskip("minari")
    from minari.data_collector import EpisodeBuffer

    root, rng = tmp_path_factory.mktemp("minari"), np.random.default_rng(0)
    episodes = [
        EpisodeBuffer(
            observations=rng.integers(0, 256, (11, SIDE, SIDE, 3), np.uint8),
            actions=np.ones(10, np.int64),
            rewards=[-1.0] * 10,
            terminations=[False] * 10,
            truncations=[False] * 9 + [True],
            infos={},
        )
        for _ in range(20)
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MINARI_DATASETS_PATH", str(root))
        minari.create_dataset_from_buffers(
            "noise/v-v0",
            episodes,
            observation_space=gymnasium.spaces.Box(0, 255, (SIDE, SIDE, 3), np.uint8),
            action_space=gymnasium.spaces.Discrete(3),
            jpeg_encoding=False,
        )
    goal = root / "goal.png"
    Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8)).save(goal)
    return root / "noise" / "v-v0", goal


def label(dataset, encoder, out):
    options = ["--dataset", dataset[0], "--encoder", encoder, "--goal", dataset[1], "--out", out]
    return ["label", *map(str, options)]


def rewards(folder):
    import minari

    episodes = minari.MinariDataset(folder / "data").iterate_episodes()
    return np.concatenate([episode.rewards for episode in episodes])


def until_killed(arguments, log, number, wait_s):
    """Start a command, signal it after a while, and return its status once all of it has ended."""
    with Run(arguments, log) as run:
        time.sleep(wait_s)
        with contextlib.suppress(ProcessLookupError):  # it was through
            run.signal(number)
        status = run.wait()
        deadline = time.monotonic() + 90
        while left := processes_of(run.process.pid):
            assert time.monotonic() < deadline, left
            time.sleep(0.1)
    return status


def processes_of(session):
    """Return the processes of a session that have not ended."""
    listed = subprocess.run(["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True)
    lines = listed.stdout.decode(errors="replace").splitlines()
    return [line for line in lines if not line.startswith("Z")]


def test_kills_of_labels_change_nothing(dataset, encoder, tmp_path):
    moments = random.Random(0)
    for name in ("whole", "warm"):  # the first pays for what is imported
        begin = time.monotonic()
        with Run(label(dataset, encoder, tmp_path / name), tmp_path / "log") as run:
            assert run.wait(600) == 0
    whole_s, out = time.monotonic() - begin, tmp_path / "out" / "killed"
    done = 0
    for kill in range(KILLS):
        number = SIGNALS[kill % len(SIGNALS)]
        arguments = label(dataset, encoder, out)
        status = until_killed(arguments, tmp_path / "log", number, moments.uniform(0, whole_s))
        assert status in {0, -number, 128 + number}
        if out.exists():
            assert np.array_equal(rewards(out), rewards(tmp_path / "whole"))
            shutil.rmtree(out)
            done += 1
    with Run(label(dataset, encoder, out), tmp_path / "log") as run:
        assert run.wait(600) == 0
    assert np.array_equal(rewards(out), rewards(tmp_path / "whole"))
    assert list(out.parent.iterdir()) == [out]
    assert done < KILLS


def write_study(folder, name):
    out = folder / name
    manifest = f"{out}/data/clips/m.parquet"
    OmegaConf.save(OmegaConf.from_dotlist([*TINY, *LENGTH]), folder / "tiny.yaml")
    videos = {
        "suite": "videos", "manifest": manifest, "split": None, "controls": [], "seeds": [0],
        "workers": 0,
    }  # fmt: skip
    train = {"configs": [f"{folder}/tiny.yaml"], "set": {"data": {"manifest": manifest}}}
    study = {
        "title": "Kills",
        "about": "Of a study.",
        "out": str(out),
        "baseline": "vip",
        "seeds": [0],
        "prepare": {"clips": ["manifest", "build", "folder", f"{folder}/v", "--out", manifest]},
        "encoders": {"vip": {"label": "VIP", "train": train}},
        "evaluations": {"curves": {"label": "Curves", "metrics": ["bumps"], "set": videos}},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(study, sort_keys=False))
    return file, out


def figures(out):
    with (out / "figures.csv").open() as file:
        return [{**row, "again": ""} for row in csv.DictReader(file)]


def test_kills_of_studies_change_nothing_and_leave_no_process(tmp_path):
    for number in range(4):
        frames = media.moving_square(12, 48, 64, seed=number)
        media.write_video(tmp_path / "v" / f"{number}.mp4", frames)
    moments, log = random.Random(1), tmp_path / "log"
    file, whole = write_study(tmp_path, "whole")
    begin = time.monotonic()
    with Run(["study", "run", str(file)], log) as run:
        assert run.wait(600) == 0, run.printed
    whole_s = time.monotonic() - begin
    file, out = write_study(tmp_path, "killed")
    for kill in range(KILLS):
        number = SIGNALS[kill % len(SIGNALS)]
        wait_s = moments.uniform(0, 0.5 * whole_s)
        status = until_killed(["study", "run", str(file)], log, number, wait_s)
        assert status in {0, -number, 128 + number}
    with Run(["study", "run", str(file)], log) as run:
        assert run.wait(600) == 0, run.printed
    assert figures(out) == figures(whole)


def on_a_small_disk(size, folder, *arguments):
    """Run `vipl` where a folder is a disk of its own, as only root may make it."""
    folder.mkdir(exist_ok=True)
    unshare = ["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", size, str(folder)]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"]).returncode:
        pytest.skip("no mount namespace with a small disk may be made here")
    vipl = [sys.executable, "-m", "vipl.cli", *map(str, arguments)]
    return subprocess.run([*unshare, *vipl], capture_output=True, text=True, timeout=600)


def test_a_full_disk_is_said_in_a_sentence(dataset, encoder, tmp_path):
    disk = tmp_path / "disk"
    result = on_a_small_disk("1m", disk, *label(dataset, encoder, disk / "out"))
    assert result.returncode == 2, result.stderr
    last = result.stderr.strip().splitlines()[-1]
    assert last.startswith("vipl: ")
    assert "No space left on device; free some, or write to another disk" in last
    (tmp_path / "v").mkdir()
    media.write_video(tmp_path / "v" / "0.mp4", media.moving_square(12, 48, 64))
    file, out = write_study(tmp_path, "disk")
    assert out == disk
    result = on_a_small_disk("64k", disk, "study", "run", file)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert "No space left on device" in result.stdout + result.stderr
