"""When the rounds of planning and training on come to their end."""

from argparse import Namespace
from pathlib import Path

import pytest
from benchmarks import trajectory_optimisation as benchmark

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import Record


def test_they_end_once_the_encoder_solves_episodes_of_its_own(monkeypatch):
    made, planned = [], []

    class Solving(benchmark.Round):
        def make(self):
            made.append((self.number, self.base and self.base.astray))

        def plan(self, seeds, controls=()):
            planned.append((self.number, list(seeds), list(controls)))
            return [
                # of the two own episodes of one task, the second is not solved at first
                Record(task, "left_cam", seed, "trajopt", MAIN, "", {
                    "success": float((task, seed) != ("sdoor_open", 1001))
                })
                for task in self.scope.tasks for seed in seeds
            ]  # fmt: skip

    monkeypatch.setattr(benchmark, "Round", Solving)
    args = Namespace(rounds=3, seeds=[0, 1], controls=["oracle"], out=Path(), accumulate=True)
    scope = benchmark.Scope(("sdoor_close", "sdoor_open"), "left_cam")
    records = benchmark.accumulate(scope, args)
    assert made == [(0, None), (1, ("sdoor_open",))]
    assert planned == [(0, [1000, 1001], []), (1, [1002, 1003], []), (1, [0, 1], ["oracle"])]
    assert [record.seed for record in records["up to 3 rounds"]] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("third", "together", "names"),
    [
        (None, False, ["sdoor_open-default", "sdoor_open-left_cam", "rdoor_open-default",
                       "rdoor_open-left_cam"]),
        (None, True, ["sdoor_open-rdoor_open-default", "sdoor_open-rdoor_open-left_cam"]),
        (0, True, ["rdoor_open-default"]),
    ],
)  # fmt: skip
def test_an_encoder_is_for_a_task_or_for_all_of_a_camera(third, together, names):
    args = Namespace(
        tasks=["sdoor_open", "rdoor_open"], cameras=["default", "left_cam"], third=third,
        together=together,
    )  # fmt: skip
    assert [scope.name for scope in benchmark.list_scopes(args)] == names


def test_no_task_left_to_plan_is_said_in_one_line(monkeypatch, capsys, tmp_path):
    words = ["benchmark", "--third", "0", "--tasks", "sdoor_open", "--cameras", "default"]
    monkeypatch.setattr("sys.argv", [*words, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        benchmark.main()
    assert ended.value.code == 2
    assert "none of --tasks goes through one of --cameras" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
