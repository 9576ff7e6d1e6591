"""Where other packages keep their models, found without importing them."""

import importlib.util
from pathlib import Path

from vipl.errors import UserError


def package_folder(name: str, *, install: str) -> Path:
    """Return the folder of an installed package.

    Args:
        name: As it is imported.
        install: The command that installs it.

    Raises:
        UserError: If the package is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{name} is not installed: {install}")
    return Path(next(iter(spec.submodule_search_locations)))
