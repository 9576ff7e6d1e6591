"""Evaluation: plugins that turn an encoder into records, and what runs and reports them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vipl.evaluation.evaluator import Cell, Evaluator, Grid, Outcome
    from vipl.evaluation.protocols.protocol import ControlProtocol, Goal, Suite, View
    from vipl.evaluation.suites.control import ControlEvaluator

# Imported at first use: worker processes import this package before they choose their threads.
_HOMES = {
    "Cell": "vipl.evaluation.evaluator",
    "ControlEvaluator": "vipl.evaluation.suites.control",
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
    "Evaluator",
    "Goal",
    "Grid",
    "Outcome",
    "Suite",
    "View",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'vipl.evaluation' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
