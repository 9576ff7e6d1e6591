"""When the rounds of planning and training on come to their end."""

from argparse import Namespace
from pathlib import Path

import pytest
from studies.planning_all_tasks import all_tasks as program
from studies.planning_all_tasks import rounds

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import Record

SCOPE = rounds.Scope(("sdoor_close", "sdoor_open"), "left_cam")


def accumulate(monkeypatch, solved, **options):
    """Return what is made and planned, and the records.

    Args:
        solved: Given the round, its training, the task and the seed, whether an episode ends so.
        options: Of the command line.
    """
    made, planned = [], []

    class Solving(rounds.Round):
        def make(self):
            made.append((self.number, self.training, self.base and self.base.astray))

        def plan(self, seeds, controls=()):
            planned.append((self.number, self.training, list(seeds), list(controls)))
            return [
                Record(task, "left_cam", seed, "trajopt", MAIN, "", {
                    "success": float(solved(self.number, self.training, task, seed)),
                    "object_error": 0.5,
                })
                for task in self.scope.tasks for seed in seeds
            ]  # fmt: skip

    monkeypatch.setattr(rounds, "Round", Solving)
    usual = {
        "seeds": [0, 1],
        "controls": ["oracle"],
        "out": Path(),
        "accumulate": True,
        "choose": 0,
    }
    records = rounds.accumulate(SCOPE, Namespace(**{**usual, **options}))
    return made, planned, records


def test_they_end_once_the_encoder_solves_episodes_of_its_own(monkeypatch):
    # of the two own episodes of one task, the second is not solved at first
    made, planned, records = accumulate(
        monkeypatch, lambda _n, _t, task, seed: (task, seed) != ("sdoor_open", 1001), rounds=3
    )
    assert made == [(0, 0, None), (1, 0, ("sdoor_open",))]
    assert planned == [
        (0, 0, [1000, 1001], []), (1, 0, [1002, 1003], []), (1, 0, [0, 1], ["oracle"]),
    ]  # fmt: skip
    assert [record.seed for record in records["up to 3 rounds"]] == [0, 1, 0, 1]


def test_the_last_is_measured_where_there_is_no_choice(monkeypatch):
    made, planned, _ = accumulate(monkeypatch, lambda number, *_: number == 0, rounds=0)
    assert made == [(0, 0, None)]
    assert planned == [(0, 0, [0, 1], ["oracle"])]
    _, planned, _ = accumulate(monkeypatch, lambda *_: False, rounds=1)
    assert planned == [(0, 0, [1000, 1001], []), (1, 0, [0, 1], ["oracle"])]


def test_no_more_is_trained_once_a_training_solves_its_own_episodes(monkeypatch):
    made, planned, _ = accumulate(
        monkeypatch, lambda _, training, *__: training == 1, rounds=3, choose=3
    )
    assert made == [(0, 0, None), (0, 1, None)]
    own = [1000, 1001]
    assert planned == [(0, 0, own, []), (0, 1, own, []), (0, 1, [0, 1], ["oracle"])]


def test_rounds_go_on_from_the_best_training_and_the_best_of_all_is_measured(monkeypatch):
    # training 1 solves one task, and the first round from it solves more than the last
    def solved(number, training, task, seed):
        return training == 1 and (
            task == "sdoor_open" if number != 1 else (task, seed) != ("sdoor_open", 1002)
        )

    made, planned, _ = accumulate(monkeypatch, solved, rounds=2, choose=3)
    assert [(number, training) for number, training, _ in made] == [
        (0, 0), (0, 1), (0, 2), (1, 1), (2, 1),
    ]  # fmt: skip
    assert [astray for *_, astray in made[3:]] == [("sdoor_close",), ("sdoor_open",)]
    assert planned[-2:] == [(2, 1, [1004, 1005], []), (1, 1, [0, 1], ["oracle"])]


def test_trainings_share_clips_and_what_a_round_adds_to_one_is_its_own():
    args = Namespace(out=Path("out"), accumulate=True)
    first, second = (rounds.Round(SCOPE, args, training=training) for training in (0, 1))
    assert first.clips == second.clips
    assert first.states == second.states
    assert first.run != second.run
    later = [rounds.Round(SCOPE, args, before) for before in (first, second)]
    assert later[0].number == later[1].number == 1
    for place in ("run", "clips", "states"):
        assert getattr(later[0], place) != getattr(later[1], place)


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
    assert [scope.name for scope in program.list_scopes(args)] == names


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--third", "0", "--tasks", "sdoor_open", "--cameras", "default"],
            "none of --tasks goes through one of --cameras",
        ),
        (["--choose", "3"], "--choose goes with --accumulate"),
        (["--rounds", "-1"], "--rounds and --choose are numbers from 0 on"),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_line(monkeypatch, capsys, tmp_path, words, message):
    monkeypatch.setattr("sys.argv", ["benchmark", *words, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
