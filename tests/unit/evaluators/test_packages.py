"""Suites whose package is not installed are listed, and say what to type."""

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from vipl.errors import UserError
from vipl.evaluation.suites.control import ControlEvaluator
from vipl.evaluation.suites.registry import Suite, describe_suite
from vipl_evaluators.adroit.evaluator import Adroit
from vipl_evaluators.metaworld.evaluator import MetaWorld

SUITES = [
    (MetaWorld, "metaworld", r"^metaworld is not installed: pip install 'vipl\[metaworld\]'$"),
    (Adroit, "gymnasium_robotics", r"^gymnasium_robotics is not installed: pip install gymn"),
]


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def hide(package: str) -> None:
        real = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == package else real(name)
        )

    return hide


@pytest.mark.parametrize(("cls", "package", "message"), SUITES)
def test_without_the_package(cls: Any, package: str, message: str, without: Any) -> None:
    without(package)
    suite: ControlEvaluator = cls()
    listing = describe_suite(Suite("the_suite", cls))
    assert listing.error is None
    assert list(listing.tasks) == list(suite.tasks())
    with pytest.raises(UserError, match=message):
        suite.prepare()
    with pytest.raises(UserError, match=message):
        suite.make_env(next(iter(suite.tasks())))


def test_another_version_of_metaworld(monkeypatch: Any, tmp_path: Any) -> None:
    from vipl_evaluators.metaworld import scene

    monkeypatch.setattr(scene, "package_folder", lambda name, install: tmp_path)
    with pytest.raises(UserError, match=r"expected MetaWorld 3: pip install 'vipl\[metaworld\]'"):
        MetaWorld().prepare()
