"""What the pages tell a reader to type does what they say."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

PAGE = ROOT / "docs/tutorials/writing_a_suite.md"
PLUGIN = ROOT / "tests/fixtures/example_plugin"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines()]


def test_the_page_shows_the_example_that_is_tested() -> None:
    assert blocks("python")[0] == (PLUGIN / "my_suite.py").read_text()
    falling = (PLUGIN / "falling.py").read_text().replace("from my_suite import Reach\n", "")
    assert falling in blocks("python")
    assert blocks("toml") == [(PLUGIN / "pyproject.toml").read_text()]


def test_the_test_that_the_page_shows_passes_and_can_fail(tmp_path: Path) -> None:
    shown, sound = tmp_path / "test_my_suite.py", (PLUGIN / "my_suite.py").read_text()
    shown.write_text(next(block for block in blocks("python") if "import pytest" in block))
    for source, status in ((sound, 0), (sound.replace("> -0.1", "> 1"), 1)):
        (tmp_path / "my_suite.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", shown]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == status, done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("opengl")
def test_every_command_of_the_page_works(tmp_path: Path) -> None:
    """In their order, as typed; only `pip install` is kept off the network and to a folder."""
    pytest.importorskip("setuptools", minversion="77")
    suite = [block for block in blocks("python") if "import pytest" not in block]
    (tmp_path / "my_suite.py").write_text("\n\n".join(suite))
    (tmp_path / "pyproject.toml").write_text(blocks("toml")[0])
    outputs = {command: run(command, tmp_path) for command in commands()}
    runs = {
        path.parent: [json.loads(line) for line in path.read_text().splitlines()]
        for path in tmp_path.glob("results/*/*/records.jsonl")
    }
    assert len(runs) == sum("--encoder" in command for command in outputs) == 5
    for folder, records in runs.items():
        assert all(record["error"] is None for record in records)
        if folder.name.startswith("oracle"):
            assert all(record["metrics"]["success"] == 1 for record in records)
        measured = folder.parent.name == "my_suite.MeasuredReach-v2"
        assert measured == ("hand_error" in records[0]["metrics"])
    for command, output in outputs.items():
        if "--list" in command:
            assert "reach (version 1): Bring the hand of a planar arm" in output
        if "--help" in command:
            assert "--steps STEPS" in output


def run(command: str, directory: Path) -> str:
    arguments = shlex.split(command)
    site = directory / "site"
    if arguments[:2] == ["pip", "install"]:
        offline = ["--no-index", "--no-deps", "--no-build-isolation", "--target", str(site)]
        arguments = [sys.executable, "-m", *arguments, *offline]
    binaries = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        timeout=240,
        cwd=directory,
        env={**os.environ, "PATH": binaries, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout
