"""Files of weights: read without running what may be in them, and given a network's own names."""

import errno
import pickletools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from vipl.errors import UserError

_SHOWN = 3


def read_weights(path: Path) -> Any:
    """Read a file of tensors and plain values: safetensors, or what `torch.save` wrote.

    Raises:
        UserError: If it is neither, is torn, or holds a pickled object, which is named and not run.
        OSError: If the disk refuses.
    """
    try:
        if _is_safetensors(path):
            return safetensors.torch.load_file(path)
        return torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise UserError(f"{path} is torn, or no safetensors file: {error}") from error
    except MemoryError:
        raise
    except Exception as error:  # what is no pickle fails in as many ways as there are files
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # of the disk, not of the content
        raise UserError(f"{path} {_unreadable(path, str(error))}") from error


def select(
    content: Any,
    source: str,
    *,
    under: Sequence[str] = (),
    drop: Sequence[str] = (),
    rename: Mapping[str, str] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors of a network out of all that a file holds.

    Args:
        content: Of the file.
        source: To name in errors.
        under: Keys that lead to them, one within the other.
        drop: Patterns of names that are left out on purpose.
        rename: Patterns of parts of names, and what replaces them; applied in order.

    Raises:
        UserError: If the file holds something else.
    """
    for key in under:
        if not isinstance(content, Mapping) or key not in content:
            raise UserError(
                f"{source} holds other weights: there is no {key!r} in it, but {_held(content)}"
            )
        content = content[key]
    if not isinstance(content, Mapping):
        raise UserError(f"{source} holds other weights: {_held(content)} in place of tensors")
    state: dict[str, Tensor] = {}
    for name, value in content.items():
        if isinstance(name, str) and any(re.search(pattern, name) for pattern in drop):
            continue
        if not isinstance(value, Tensor) or not isinstance(name, str):
            raise UserError(f"{source} holds other weights: {name!r} is no tensor")
        given = name
        for pattern, replacement in (rename or {}).items():
            name = re.sub(pattern, replacement, name)
        if name in state:
            raise UserError(
                f"{source}: {given!r} and another tensor are both called {name!r} once they are "
                "renamed: drop one of them"
            )
        state[name] = value
    return state


def load_strictly(network: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights of which none is missing, none left over, and none of another shape.

    The counters of BatchNorm may be missing: old versions of torch did not write them, and nothing
    of an embedding depends on them.

    Raises:
        UserError: If they are of another network.
    """
    found = differences(network.state_dict(), state)
    if found:
        raise UserError(f"{source} holds the weights of another network: {', '.join(found)}")
    network.load_state_dict(state, strict=False)


def differences(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Return in what weights are not those of a network; tensors may be on the meta device.

    Args:
        own: The network's.
        state: That are to be loaded; numbers with a point may have any precision.
    """
    both = {name: (value, own[name]) for name, value in state.items() if name in own}
    problems = {
        "missing": [
            name for name in own if name not in state and not name.endswith("num_batches_tracked")
        ],
        "left over": [name for name in state if name not in own],
        "of another shape": [
            f"{name} {list(value.shape)} in place of {list(wanted.shape)}"
            for name, (value, wanted) in both.items()
            if value.shape != wanted.shape
        ],
        "of another type": [
            f"{name} {value.dtype} in place of {wanted.dtype}"
            for name, (value, wanted) in both.items()
            if value.is_floating_point() != wanted.is_floating_point()
        ],
    }
    return [f"{len(names)} {what} ({_few(names)})" for what, names in problems.items() if names]


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return path.suffix == ".safetensors" or file.read(9)[8:] == b"{"


def _unreadable(path: Path, message: str) -> str:
    """Say why torch refused a file, without its advice to load the file unsafely."""
    named = re.search(r"(?:global|GLOBAL):?(?: GLOBAL)? ([\w.]+)", message)
    pickled = named[1] if named else _pickled(path)
    if pickled:
        return f"holds a pickled object ({pickled}): only tensors and plain values are read"
    return "is not a checkpoint: torch cannot read it, so it is of another kind or torn"


def _pickled(path: Path) -> str | None:
    """Return the first thing that a bare pickle would call, without calling it.

    Not counted is what tensors and their dictionaries are made by.
    """
    words: list[str] = []
    called: str | None
    try:
        with path.open("rb") as file:
            for operation, argument, _ in pickletools.genops(file):
                called = None
                if isinstance(argument, str):
                    words.append(argument)
                if operation.name == "GLOBAL":
                    called = words.pop().replace(" ", ".")
                elif operation.name == "STACK_GLOBAL":
                    called = ".".join(words[-2:])
                if called and not called.startswith(("torch.", "collections.")):
                    return called
    except Exception:  # no pickle
        pass
    return None


def _held(content: Any) -> str:
    if isinstance(content, Mapping):
        return _few([repr(key) for key in content]) or "nothing"
    return f"a {type(content).__name__}"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
