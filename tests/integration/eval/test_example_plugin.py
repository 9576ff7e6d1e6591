"""A suite of one's own: a real package, installed without a network, run by the real command."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import ROOT
from vipl import Encoder, save_encoder

pytestmark = pytest.mark.usefixtures("opengl")

PLUGIN = ROOT / "tests/fixtures/example_plugin"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder into which the plugin is installed, from a copy: building leaves files behind."""
    pytest.importorskip("setuptools", minversion="77")
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(
        PLUGIN, folder / "source", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"]
    options = ["--no-build-isolation", "--target", str(folder / "site"), str(source)]
    done = subprocess.run([*pip, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "site"


def vipl_eval(
    arguments: Sequence[str], site: Path, directory: Path
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vipl.cli", "eval", *arguments],
        capture_output=True,
        text=True,
        timeout=240,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(site)},
    )


def read_run(directory: Path) -> tuple[Path, list[dict[str, Any]]]:
    (path,) = directory.glob("results/reach-v1/*/records.jsonl")
    return path.parent, [json.loads(line) for line in path.read_text().splitlines()]


def test_it_is_small() -> None:
    assert len((PLUGIN / "my_suite.py").read_text().splitlines()) < 60
    protocol = (PLUGIN / "falling.py").read_text().partition("class WatchedReach")[0]
    assert len(protocol.strip().splitlines()) < 40


def test_a_protocol_of_its_own_and_its_settings(tmp_path: Path) -> None:
    source = shutil.copytree(PLUGIN, tmp_path / "source")
    options = ["--suite", "falling:WatchedReach", "--encoder", "oracle", "--workers", "0"]
    options += ["protocol=falling", "tasks=[left]", "seeds=[0]", "image_size=32"]
    done = vipl_eval([*options, "falling.frames=5", "--run-id=it"], source, source)
    assert done.returncode == 0, done.stderr
    lines = (source / "results/falling.WatchedReach-v1/it/records.jsonl").read_text().splitlines()
    assert [json.loads(line)["metrics"] for line in lines] == [{"falling": 1.0}]
    done = vipl_eval([*options, "falling.frame=5"], source, source)
    assert done.returncode == 2
    assert "there is no key 'falling.frame': did you mean falling.frames" in done.stderr
    done = vipl_eval([*options[:4], "--protocol", "falling", "--help"], source, source)
    assert "--falling.frames FRAMES" in done.stdout
    assert "Steps from one to the next." in done.stdout


def test_it_is_listed(site: Path, tmp_path: Path) -> None:
    done = vipl_eval(["--list"], site, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "reach (version 1): Bring the hand of a planar arm to a red disc." in done.stdout
    assert "reach the disc on the left" in done.stdout


@pytest.mark.slow
def test_the_true_state_solves_it(site: Path, tmp_path: Path) -> None:
    options = ["--encoder", "oracle", "tasks=[left,right]", "seeds=[0]", "steps=30"]
    planner = ["trajopt.samples=16", "image_size=32"]
    done = vipl_eval(["--suite", "reach", *options, *planner], site, tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    folder, records = read_run(tmp_path)
    assert {record["task"] for record in records} == {"left", "right"}
    for record in records:
        assert record["error"] is None
        assert record["metrics"] == {"success": 1.0, "ever_success": 1.0}
        assert (record["variant"], record["seed"], record["protocol"]) == ("main", 0, "trajopt")
        assert record["info"]["goal"] == record["task"]
        assert (folder / record["video"]).stat().st_size > 0
    assert json.loads((folder / "run.json").read_text())["suite"]["class"] == "my_suite:Reach"
    assert (folder / "report.html").is_file()
    assert (folder / "summary.json").is_file()


def test_an_encoder_and_its_controls(site: Path, tmp_path: Path) -> None:
    save_encoder(Encoder("resnet10t", output_dim=8, image_size=32), tmp_path / "encoder")
    options = ["--encoder", "encoder", "--workers", "0", "tasks=[left]", "seeds=[0]", "steps=3"]
    planner = ["trajopt.samples=4", "trajopt.horizon_steps=2", "image_size=32"]
    done = vipl_eval(["--suite", "reach", *options, *planner], site, tmp_path)
    assert done.returncode == 0, done.stderr + done.stdout
    _, records = read_run(tmp_path)
    by_variant = {record["variant"]: record for record in records}
    assert set(by_variant) == {"main", "oracle", "random", "random_goal"}
    assert all(record["error"] is None for record in records)
    assert by_variant["random_goal"]["info"]["goal"] == "right"
    assert "distance" not in by_variant["oracle"]["traces"]
    distances = by_variant["main"]["traces"]["distance"]
    assert len(distances) == 4
    assert min(distances) > 0
