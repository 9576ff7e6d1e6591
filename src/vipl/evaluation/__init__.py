"""Evaluation: plugins that turn an encoder into records, and what runs and reports them."""

from typing import TYPE_CHECKING

from vipl.lazy import public_names

if TYPE_CHECKING:
    from vipl.evaluation.evaluator import Cell, Evaluator, Grid, Outcome
    from vipl.evaluation.protocols.dataset import Dataset
    from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
    from vipl.evaluation.suites.control import ControlEvaluator

# Imported at first use: worker processes import this package before they choose their threads.
_HOMES = {
    "Cell": "vipl.evaluation.evaluator",
    "ControlEvaluator": "vipl.evaluation.suites.control",
    "Dataset": "vipl.evaluation.protocols.dataset",
    "Evaluator": "vipl.evaluation.evaluator",
    "ControlProtocol": "vipl.evaluation.protocols.protocol",
    "Goal": "vipl.evaluation.protocols.protocol",
    "Suite": "vipl.evaluation.protocols.protocol",
    "View": "vipl.evaluation.protocols.protocol",
    "Grid": "vipl.evaluation.evaluator",
    "Outcome": "vipl.evaluation.evaluator",
}

__all__ = [
    "Cell",
    "ControlEvaluator",
    "ControlProtocol",
    "Dataset",
    "Evaluator",
    "Goal",
    "Grid",
    "Outcome",
    "Suite",
    "View",
]

__getattr__, __dir__ = public_names(__name__, _HOMES)
