"""`vipl demos verify`: what replays here, and others in the place of what does not."""

import json
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from vipl.cli import main
from vipl_evaluators.frankakitchen import demonstrations
from vipl_evaluators.frankakitchen.demonstrations import describe, load_index, read_arrays

SHIPPED = Path(demonstrations.__file__).parent / "data"
TASK = "light_on"
KEPT, LOST = f"{TASK}/start_00", f"{TASK}/start_01"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two demonstrations; the actions of one do not solve its task with any MuJoCo."""
    folder = tmp_path / "demos"
    (folder / TASK).mkdir(parents=True)
    shutil.copy(SHIPPED / f"{KEPT}.npz", folder / TASK)
    arrays = read_arrays(SHIPPED / f"{LOST}.npz")
    weak = 0.8 * arrays["action"]  # a correction finds the way all the same
    np.savez(folder / f"{LOST}.npz", **{**arrays, "action": weak})
    entries = [describe(folder / f"{name}.npz") for name in (KEPT, LOST)]
    (folder / "index.json").write_text(json.dumps(entries))
    return folder


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what other tests run in processes of its own here, which is faster."""

    def run_here(run: Any, jobs: Sequence[Any], **options: object) -> Iterator[tuple[Any, Any]]:
        assert options["workers"] == 1
        for job in jobs:
            yield job, run(job)

    monkeypatch.setattr("vipl_evaluators.frankakitchen.verify.run_jobs", run_here)


def verify(folder: Path, *extra: str) -> int:
    return main(["demos", "verify", "--folder", str(folder), "--workers", "1", *extra])


def test_others_are_made_in_the_place_of_those_that_do_not_replay(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(folder) == 2
    told = capsys.readouterr()
    assert f"1 of 2 end as recorded when mujoco {mujoco.__version__} replays" in told.out
    assert "start_01" in told.out
    assert "1 of 2 demonstrations end otherwise" in told.err
    out = tmp_path / "replanned"
    assert verify(folder, "--replan", str(out)) == 0
    assert "2 demonstrations that replay here, 1 of them anew" in capsys.readouterr().out
    kept, made = load_index(out)
    assert (kept.name, made.name) == (KEPT, LOST)
    assert kept.path.read_bytes() == (folder / f"{KEPT}.npz").read_bytes()
    assert (kept.mujoco, made.mujoco) == ("3.11.0", mujoco.__version__)
    np.testing.assert_array_equal(
        made.arrays["qpos"][0], read_arrays(folder / f"{LOST}.npz")["qpos"][0]
    )
    assert made.ends_solved
    before = made.path.stat().st_mtime_ns
    assert verify(out) == 0
    assert "2 of 2 end as recorded" in capsys.readouterr().out
    assert verify(folder, "--replan", str(out)) == 0  # what is there and replays is kept
    assert made.path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--workers", "0"], "--workers is 0, expected 1 or more"),
        (["--tasks", "light_onn"], "there is no task 'light_onn': expected light_on"),
    ],
)
def test_a_wrong_option_is_refused(
    folder: Path, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(folder, *extra) == 2
    assert message in capsys.readouterr().err


def test_what_no_plan_made_is_not_planned_anew(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / f"{LOST}.npz").rename(folder / TASK / "noisy_00.npz")
    demonstrations.write_index(folder)
    assert verify(folder, "--replan", str(tmp_path / "out")) == 2
    assert "not noisy: name --kinds, and make those anew by" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["[", "[1]", '[{"name": "a"}]', "{}  {}", "{}"])
def test_a_damaged_index_is_named(
    folder: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "index.json").write_text(text)
    assert verify(folder) == 2
    assert f"{folder / 'index.json'} is damaged" in capsys.readouterr().err
