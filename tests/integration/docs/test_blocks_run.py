"""The blocks of `sh` that name nothing a test lacks are run, in their order, page by page.

Each page has a folder of its own, in which what its text takes for granted lies ready: videos, and
encoders that were trained for two steps. Commands run as they are typed but for what makes them
long: `SHORTER` is added to them, so steps, samples, pictures and tasks are few.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests import ROOT
from tests.fixtures import media
from tests.fixtures.pages import PAGES, Block, blocks, without_assignments
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest, write_manifest
from vipl.models import Encoder, save_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ELSEWHERE = {"docs/tutorials/writing_a_suite.md"}
"""Pages whose commands test_writing_a_suite.py runs, and looks into what they do."""

FIT = [
    "trainer.accelerator=cpu",
    "trainer.max_steps=2",
    "trainer.val_check_interval=2",
    "data.batch_size=2",
    "data.num_workers=0",
    "model.encoder.image_size=32",
    "data.steps_per_epoch=2",
]
EPISODE = [
    "seeds=0",
    "steps=2",
    "image_size=32",
    "trajopt.samples=2",
    "trajopt.horizon_steps=2",
    "controls=[]",
    *(
        f"{protocol}.{setting}"
        for protocol in ("offline_rl", "imitation")
        for setting in ("dataset.trajectories=3", "steps=20", "evaluate_every=20", "episodes=1")
    ),
    "correlation.dataset.trajectories=3",
    "gain.dataset.trajectories=3",
    "online_rl.steps=8",
    "online_rl.environments=2",
    "online_rl.evaluate_every=8",
    "online_rl.rollout_episodes=1",
]
SHORTER = {
    "fit": FIT,
    "frankakitchen": EPISODE,
    "metaworld": EPISODE,
    "adroit": [word for word in EPISODE if not word.startswith("trajopt.horizon")],
    "my_suite:Reach": EPISODE[:5],
    "slider:Slider": EPISODE[:5],
    "render": ["--size", "32"],
    "--quality": ["--number", "3"],
}
NARROWER = {
    "frankakitchen": {"tasks": "rdoor_close", "cameras": "left_cam"},
    "metaworld": {"tasks": "drawer_open", "cameras": "left_cap2"},
    "adroit": {"tasks": "pen", "cameras": "view_1"},
}
"""Tasks and cameras of commands that name none."""


def typed(page: str) -> list[Block]:
    return [block for block in blocks(page) if block.language == "sh" and block.needs is None]


RUN = [page for page in PAGES if typed(page) and page not in ELSEWHERE]


def shortened(words: list[str]) -> list[str]:
    """Return a command with what makes it short."""
    if words[0] != "vipl" or "--help" in words or "--list" in words or "--print-config" in words:
        return words
    more: list[str] = []
    suites = ["frankakitchen"] if {"offline_rl", "online_rl"} & set(words) else words
    for name, extra in SHORTER.items():
        if name in words or name in suites:
            more += extra
        if name in suites and name in NARROWER:
            given = {word.split("=")[0] for word in words}
            more += [f"{key}={value}" for key, value in NARROWER[name].items() if key not in given]
    return words + more


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """What the pages take for granted."""
    folder = tmp_path_factory.mktemp("world")
    for number in range(12):
        path = folder / "videos" / f"{number}.mp4"
        media.write_video(path, media.moving_square(12, 48, 64, seed=number))
    manifest = folder / "my.parquet"
    build = ["manifest", "build", "folder", str(folder / "videos"), "--out", str(manifest)]
    assert main([*build, "--val-fraction", "0.3"]) == 0
    run = [f"data.manifest={manifest}", f"run_dir={folder / 'run'}", *FIT]
    assert main(["fit", "--config", str(ROOT / "configs/fit/quickstart.yaml"), *run]) == 0
    torch.manual_seed(0)
    resnet = Encoder("resnet18", output_dim=64, image_size=224, central_fraction=0.875)
    save_encoder(resnet, folder / "resnet" / "encoder")
    return folder


@pytest.fixture
def here(world, tmp_path) -> Path:
    """A reader's folder."""
    for name in ("configs", "data_manifests", "benchmarks", "studies"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "videos").symlink_to(world / "videos")
    for name in ("runs/my_run", "runs/mine", "quickstart/run"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(world / "run")
    (tmp_path / "runs/ego4d_resnet50").symlink_to(world / "resnet")
    (tmp_path / "quickstart/demos").mkdir()
    clips = read_manifest(world / "my.parquet")
    for name in ("my", "quickstart/demos/manifest"):
        out = tmp_path / f"{name}.parquet"
        write_manifest(clips.table, out, recipe={"source": "folder"}, root=world / "videos")
    pictures = tmp_path / "frames" / "clip"
    pictures.mkdir(parents=True)
    for number, frame in enumerate(media.moving_square(12, 48, 64)):
        Image.fromarray(frame).save(pictures / f"{number:06d}.jpg")
    suite = next(b for b in blocks("docs/tutorials/writing_a_suite.md") if b.language == "python")
    (tmp_path / "my_suite.py").write_text(suite.text)
    for block in blocks("README.md"):
        if named := re.match(r"# (\w+\.py)\n", block.text):
            (tmp_path / named[1]).write_text(block.text)
    return tmp_path


def test_what_is_run():
    assert {"README.md", "docs/reference/suites.md", "docs/how-to/learning_policies.md"} <= set(RUN)


@pytest.mark.parametrize("page", RUN)
@pytest.mark.usefixtures("opengl")
def test_the_commands_of_a_page_work(page, here):
    for block in typed(page):
        for words in block.commands:
            run(words, here, where=f"{page}:{block.line}")


def run(words: list[str], folder: Path, *, where: str) -> None:
    variables, command = without_assignments(words)
    command = shortened(command)
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    programs = {"vipl": [sys.executable, "-m", "vipl.cli"], "python": [sys.executable]}
    done = subprocess.run(
        [*programs.get(command[0], command[:1]), *command[1:]],
        capture_output=True,
        text=True,
        timeout=600,
        cwd=folder,
        env={
            **os.environ,
            "PATH": binaries,
            "PYTHONPATH": os.pathsep.join([f"{ROOT}/src", f"{ROOT}/evaluators", str(ROOT)]),
            "MINARI_DATASETS_PATH": str(folder / "minari_home"),
            "VIPL_HOME": str(folder / "home"),
            **variables,
        },
    )
    assert done.returncode == 0, f"{where}: {' '.join(command)}\n{done.stdout}\n{done.stderr}"
    assert "\\n" not in done.stdout, f"{where}: lines run together:\n{done.stdout}"
