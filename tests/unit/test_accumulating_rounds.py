"""When the rounds of planning and training on come to their end."""

from argparse import Namespace
from pathlib import Path

from benchmarks import trajectory_optimisation as benchmark

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import Record


def test_they_end_once_the_encoder_solves_episodes_of_its_own(monkeypatch):
    made, planned = [], []

    class Solving(benchmark.Round):
        def make(self, pairs):
            made.append(self.number)

        def generate_all(self, pairs):
            pass

        def plan(self, pairs, seeds, controls=()):
            planned.append((self.number, list(seeds), list(controls)))
            solved = {1000: 1.0, 1001: 0.0}  # one of two does not do
            return [
                Record(*pairs[0], seed, "trajopt", MAIN, "", {"success": solved.get(seed, 1.0)})
                for seed in seeds
            ]

    monkeypatch.setattr(benchmark, "Round", Solving)
    args = Namespace(rounds=3, jobs=1, seeds=[0, 1], controls=["oracle"], out=Path())
    records = benchmark.accumulate([benchmark.Pair("sdoor_open", "left_cam")], args)
    assert made == [0, 1]
    assert planned == [(0, [1000, 1001], []), (1, [1002, 1003], []), (1, [0, 1], ["oracle"])]
    assert [record.seed for record in records["up to 3 rounds"]] == [0, 1]
