"""The names that packages export are there, and cost nothing until they are used."""

import re
import subprocess
import sys
from importlib import import_module

import pytest

from vipl._moved import _moved

PACKAGES = ("vipl", "vipl.control", "vipl.evaluation", "vipl.rewards", "vipl.training")
PUBLIC = (
    *(f"vipl.{name}" for name in ("Encoder", "GoalReward", "load_encoder", "save_encoder")),
    *(f"vipl.evaluation.{name}" for name in ("Evaluator", "ControlEvaluator", "Cell", "Grid")),
    *(f"vipl.evaluation.{name}" for name in ("Goal", "Outcome")),
    *(f"vipl.control.{name}" for name in ("ControlEnv", "MujocoEnv", "Planner")),
    *(f"vipl.gym.{name}" for name in ("VisualReward", "VectorVisualReward", "FreshRender")),
    *(f"vipl.objectives.{name}" for name in ("Objective", "VIP", "TCN", "LSTD", "vip_loss")),
    *(f"vipl.models.{name}" for name in ("Encoder", "load_encoder", "save_encoder")),
    *(f"vipl.rewards.{name}" for name in ("GoalReward", "as_images")),
    *(f"vipl.training.{name}" for name in ("ParameterGroups", "WarmupCosine")),
    "vipl.errors.UserError",
)
"""What users import, which stays where it is."""


@pytest.mark.parametrize("package", PACKAGES)
def test_every_name_is_there(package: str) -> None:
    module = import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is not None
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_importing_the_packages_imports_nothing_heavy() -> None:
    heavy = {"mujoco", "numpy", "torch", "vipl_evaluators"}
    code = f"import sys, {', '.join(PACKAGES)}; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == []


@pytest.mark.parametrize("name", PUBLIC)
def test_what_users_import_stays_where_it_is(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(module), attribute).__name__ == attribute


def test_a_module_that_moved_is_named_by_its_new_place() -> None:
    moved = _moved()
    for then, now in moved.items():
        import_module(now)
        first = then.rpartition(".")[0] if then.rpartition(".")[0] in moved else then
        with pytest.raises(
            ModuleNotFoundError, match=re.escape(f"{first} is now {moved[first]}: ")
        ):
            import_module(then)
    with pytest.raises(ModuleNotFoundError, match=r"No module named .vipl\.nothing."):
        import_module("vipl.nothing")
