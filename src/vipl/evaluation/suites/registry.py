"""Which suites there are: installed plugins, and classes named by `module:Class`."""

import difflib
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from vipl.control.opengl import check_setting
from vipl.errors import UserError
from vipl.evaluation.evaluator import Evaluator

GROUP = "vipl.evaluators"
"""The group of entry points, name to class."""


@dataclass(frozen=True)
class Suite:
    """A loaded suite.

    Attributes:
        name: Names its folder of results.
        cls: Its evaluator.
    """

    name: str
    cls: type[Evaluator]

    @property
    def reference(self) -> str:
        """The class as `module:Class`, by which another process finds it."""
        return f"{self.cls.__module__}:{self.cls.__qualname__}"

    @property
    def description(self) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]


@dataclass(frozen=True)
class Listing:
    """What `vipl eval --list` shows of a suite.

    Attributes:
        name: As `--suite` takes it.
        error: Why it cannot be used, or None.
        version: Of its numbers.
        description: One line.
        protocols: Name to a line.
        tasks: Name to a label.
    """

    name: str
    error: str | None = None
    version: int | None = None
    description: str = ""
    protocols: Mapping[str, str] = field(default_factory=dict)
    tasks: Mapping[str, str] = field(default_factory=dict)


def load_suite(text: str) -> Suite:
    """Load one suite; no other plugin is imported.

    Args:
        text: Name of an installed suite, or `module:Class`, the working directory being searched
            too.

    Raises:
        UserError: If there is none, two distributions offer it, it does not import, or is not an
            `Evaluator`.
    """
    installed = _installed()
    if ":" in text:
        _search_working_directory()
        # Results of a plugin belong together, however it was named.
        names = [name for name, points in installed.items() if points[0].value == text]
        return _load(names[0] if names else text.replace(":", "."), text)
    if text not in installed:
        near = difflib.get_close_matches(text, installed, n=3) or sorted(installed)
        hint = f": did you mean {' or '.join(near)}?" if near else ": none is installed"
        raise UserError(f"there is no suite {text!r}{hint} (`vipl eval --list`, or module:Class)")
    return _load(text, _only(text, installed[text]).value)


def list_suites() -> list[Listing]:
    """Return all installed suites; one that does not load is listed with its error."""
    return [_list(name) for name in sorted(_installed())]


def describe_suite(suite: Suite) -> Listing:
    """Return what there is to know of a loaded suite.

    Raises:
        UserError: If it cannot be made with its default settings.
    """
    try:
        tasks = suite.cls().tasks()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{suite.name} does not list its tasks: {_where(error)}") from error
    return Listing(
        suite.name,
        version=suite.cls.version,
        description=suite.description,
        protocols=suite.cls.protocols,
        tasks=tasks,
    )


def _list(name: str) -> Listing:
    try:
        return describe_suite(load_suite(name))
    except UserError as error:
        return Listing(name, error=str(error))


def _installed() -> dict[str, list[EntryPoint]]:
    installed: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=GROUP):
        installed.setdefault(point.name, []).append(point)
    return installed


def _only(name: str, points: Sequence[EntryPoint]) -> EntryPoint:
    if len(points) > 1:
        owners = " and ".join(_distribution(point) for point in points)
        raise UserError(
            f"the suite {name!r} is offered by {owners}: uninstall one, or name its class, e.g. "
            f"--suite {points[0].value}"
        )
    return points[0]


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _search_working_directory() -> None:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())


def _load(name: str, reference: str) -> Suite:
    module_name, _, class_name = reference.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise UserError(_no_module(reference, error.name)) from error
        raise UserError(f"the suite {reference} does not import: {_where(error)}") from error
    except Exception as error:
        check_setting()
        raise UserError(f"the suite {reference} does not import: {_where(error)}") from error
    suites = [key for key, value in vars(module).items() if _is_evaluator(value)]
    cls = getattr(module, class_name, None)
    if cls is None:
        near = difflib.get_close_matches(class_name, suites, n=3, cutoff=0.3) or suites
        hint = f": did you mean {' or '.join(near)}?" if near else ", nor any other evaluator"
        raise UserError(f"{module_name} holds no {class_name!r}{hint}")
    if not _is_evaluator(cls):
        raise UserError(f"{reference} is no class derived from vipl.evaluation.evaluator.Evaluator")
    if missing := sorted(getattr(cls, "__abstractmethods__", ())):
        raise UserError(f"{reference} does not define {', '.join(missing)}")
    if absent := [key for key in cls.required if not hasattr(cls, key)]:
        raise UserError(f"{reference} has no class attribute {' and no '.join(absent)}")
    return Suite(name, cls)


def _is_evaluator(value: object) -> bool:
    return inspect.isclass(value) and issubclass(value, Evaluator) and value is not Evaluator


def _no_module(reference: str, missing: str) -> str:
    files = [path.stem for path in Path.cwd().glob("*.py")]
    near = difflib.get_close_matches(missing, files, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"--suite {reference}: there is no module {missing!r}, here or installed{hint}"


def _where(error: BaseException) -> str:
    """Return the error with the line that raised it, importlib's own left out."""
    text = f"{type(error).__name__}: {error}".rstrip(": ")
    if isinstance(error, SyntaxError):
        return text  # it names its file and line
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<frozen")
        and "importlib" not in Path(frame.filename).parts
    ]
    return f"{text} ({frames[-1].filename}:{frames[-1].lineno})" if frames else text
