"""The names that packages export are there, and cost nothing until they are used."""

import subprocess
import sys
from importlib import import_module

import pytest

PACKAGES = ("vipl", "vipl.control", "vipl.evaluation")


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
