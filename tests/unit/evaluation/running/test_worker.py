"""What a worker says of a cell whose suite erred."""

import pytest

from tests.fixtures.toy_suite import Toy
from vipl.evaluation.evaluator import Cell, Outcome
from vipl.evaluation.running.config import Choice
from vipl.evaluation.running.encoders import read_encoders
from vipl.evaluation.running.worker import Failed, Work, Worker

GIVEN = {"success": 1.0, "error": 0.5}


class Given(Toy):
    """Gives what it is told to."""

    def run_cell(self, cell, encoder, rng):
        return Outcome(GIVEN)


class Undeclared(Given):
    higher_is_better = {"success": True}  # noqa: RUF012


class Absent(Given):
    higher_is_better = {"reached": True, "success": True, "error": False}  # noqa: RUF012


@pytest.mark.parametrize(
    ("suite", "reason"),
    [
        (Undeclared, "the cell gave error, which Undeclared.higher_is_better lacks"),
        (Absent, "gave success, error, but not reached, the first of Absent.higher_is_better"),
    ],
)
def test_metrics_that_the_suite_does_not_declare(suite, reason):
    cell = Cell("left", "front", 0, "walk")
    choice = Choice({"setting": "easy", "planner": {"samples": 4}}, "walk")
    work = Work(f"{__name__}:{suite.__name__}", choice, read_encoders("oracle", [cell]))
    result = Worker(work).run(cell)
    assert isinstance(result, Failed)
    assert reason in result.error
    assert not result.mendable
