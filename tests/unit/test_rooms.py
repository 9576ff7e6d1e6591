"""The rooms of the package: which may ask which, and how much they hold."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT

PACKAGE = ROOT / "src" / "vipl"
GROUND = {"_moved", "_version", "console", "errors", "files", "lazy", "names"}
MOST_FILES = 12
MOST_LINES = 300

# From the top down: a room asks those below it, and none above.
ORDER = (
    "cli",
    "study",
    "publishing",
    "embed",
    "evaluation.running",
    "evaluation.reports",
    "evaluation.suites",
    "evaluation.protocols",
    "evaluation",
    "gym",
    "control",
    "training",
    "rewards",
    "models",
    "objectives",
    "data.loading",
    "data.preparing",
    "data.sources",
    "data.checking",
    "data.processes",
    "data.encoding",
    "data.decoding",
    "data.manifests",
    "config",
    "processes",
)


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def every() -> list[Path]:
    """Return the package's files, and those of the suites that come with it."""
    return [*files(), *sorted((ROOT / "evaluators").rglob("*.py"))]


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def room_of(module: str) -> str:
    """Return the room of a module such as "vipl.data.sources.ego4d.build": "data.sources"."""
    parts = module.split(".")[1:]
    return next((room for n in (2, 1) if (room := ".".join(parts[:n])) in ORDER), "")


def module_of(path: Path) -> str:
    return ".".join(("vipl", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
        ".__init__"
    )


def imported(path: Path) -> Iterator[str]:
    """Yield what a file imports of the package, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vipl"):
            yield from (f"{node.module}.{one.name}" for one in node.names)
        elif isinstance(node, ast.Import):
            yield from (one.name for one in node.names if one.name.startswith("vipl"))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_asks_none_above_it(path: Path) -> None:
    own = room_of(module_of(path))
    if own and path != PACKAGE / "evaluation" / "__init__.py":  # which names what users import
        above = [name for name in imported(path) if room_of(name) in ORDER[: ORDER.index(own)]]
        assert above == []


def test_every_module_is_in_a_room_or_on_the_ground_floor() -> None:
    loose = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"}
    assert loose == GROUND
    for path in files():
        if path.parent != PACKAGE and path != PACKAGE / "data" / "__init__.py":
            assert room_of(module_of(path)), path


def test_a_room_holds_few_files() -> None:
    for folder in {path.parent for path in files()} - {PACKAGE}:
        assert len([*folder.glob("[!_]*.py")]) <= MOST_FILES, folder


def test_a_file_is_read_at_a_sitting() -> None:
    long = {str(path.relative_to(ROOT)): n for path in every() if (n := lines(path)) > MOST_LINES}
    assert long == {}


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = {module_of(path): path for path in files()}
    asks = {
        module: {
            found
            for name in imported(path)
            if (found := name if name in known else name.rpartition(".")[0]) in known
            and not module.startswith(f"{found}.")
        }
        for module, path in known.items()
    }
    done: set[str] = set()

    def follow(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"a circle: {' -> '.join((*way, module))}"
        if module not in done:
            for one in asks[module]:
                follow(one, (*way, module))
            done.add(module)

    for module in known:
        follow(module, ())
