"""Suites: found by name or `module:Class`, and every way in which one can be broken."""

import sys

import pytest

from vipl.errors import UserError
from vipl.evaluation.suites import registry
from vipl.evaluation.suites.registry import list_suites, load_suite

SUITE = '''
from vipl.evaluation.evaluator import Evaluator, Outcome


class {name}(Evaluator):
    """A suite of nothing.

    More words.
    """

    version = 2
    higher_is_better = {{"success": True}}
    protocols = {{"walk": "walk there"}}

    def tasks(self):
        return {{"left": "go left"}}

    def cells(self, grid, *, oracle):
        return []

    def run_cell(self, cell, encoder, rng):
        return Outcome({{"success": 1.0}})
'''


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, modules of which are forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("plugin_"):
            del sys.modules[name]


def install(place, distribution, suites):
    """Make an installed distribution that offers suites, name to `module:Class`."""
    info = place / f"{distribution}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    lines = [f"{name} = {value}" for name, value in suites.items()]
    (info / "entry_points.txt").write_text("\n".join([f"[{registry.GROUP}]", *lines]))


def test_an_installed_suite_is_loaded_and_no_other(place):
    (place / "plugin_a.py").write_text(SUITE.format(name="A"))
    (place / "plugin_b.py").write_text("raise RuntimeError('imported')")
    install(place, "alpha", {"suite_a": "plugin_a:A", "suite_b": "plugin_b:B"})
    suite = load_suite("suite_a")
    assert (suite.name, suite.reference) == ("suite_a", "plugin_a:A")
    assert suite.description == "A suite of nothing."
    assert "plugin_b" not in sys.modules


def test_a_class_of_the_working_directory(place):
    sys.path.remove(str(place))
    (place / "plugin_a.py").write_text(SUITE.format(name="A"))
    assert load_suite("plugin_a:A").name == "plugin_a.A"


def test_an_installed_class_has_its_suites_name_whichever_way_it_is_given(place):
    (place / "plugin_a.py").write_text(SUITE.format(name="A"))
    install(place, "alpha", {"suite_a": "plugin_a:A"})
    assert load_suite("plugin_a:A").name == "suite_a"


def test_near_names(place):
    (place / "plugin_a.py").write_text(SUITE.format(name="Alphabet"))
    install(place, "alpha", {"kitchen_of_a": "plugin_a:Alphabet"})
    with pytest.raises(UserError, match="no suite 'kichen_of_a': did you mean kitchen_of_a"):
        load_suite("kichen_of_a")
    with pytest.raises(UserError, match="plugin_a holds no 'Alphabit': did you mean Alphabet"):
        load_suite("plugin_a:Alphabit")
    with pytest.raises(UserError, match=r"no module 'plugin_aa', .* did you mean plugin_a"):
        load_suite("plugin_aa:Alphabet")


def test_two_distributions_with_one_name(place):
    install(place, "alpha", {"kitchen": "plugin_a:A"})
    install(place, "beta", {"kitchen": "plugin_b:B"})
    with pytest.raises(UserError, match="'kitchen' is offered by") as refusal:
        load_suite("kitchen")
    assert "alpha 1.5" in str(refusal.value)
    assert "beta 1.5" in str(refusal.value)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("import nothing_like_it", "ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("from vipl import nowhere", "ImportError: .*nowhere"),
        ("\n\n1 / 0", r"ZeroDivisionError: division by zero \(.*plugin_a.py:3\)"),
        ("def (:", r"SyntaxError: .*plugin_a.py, line 1\)"),
    ],
)
def test_a_plugin_that_does_not_import_says_why_and_where(place, content, reason):
    (place / "plugin_a.py").write_text(content)
    install(place, "alpha", {"suite_a": "plugin_a:A"})
    with pytest.raises(UserError, match=f"plugin_a:A does not import: {reason}") as refusal:
        load_suite("suite_a")
    assert refusal.value.__cause__ is not None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("A = 3", "plugin_a:A is no class derived from"),
        ("class A: pass", "plugin_a:A is no class derived from"),
        (
            "from vipl.evaluation.evaluator import Evaluator\nclass A(Evaluator): version = 1",
            "plugin_a:A does not define cells, run_cell, tasks",
        ),
        (SUITE.format(name="A").replace("version", "v"), "no class attribute version"),
    ],
)
def test_what_is_no_evaluator(place, content, reason):
    (place / "plugin_a.py").write_text(content)
    with pytest.raises(UserError, match=reason):
        load_suite("plugin_a:A")


def test_a_control_suite_without_cameras_is_refused_before_it_runs(place):
    (place / "plugin_a.py").write_text(
        "from tests.fixtures.lines import Lines\n"
        "from vipl.evaluation import ControlEvaluator\n"
        "class A(ControlEvaluator):\n"
        "    version, tasks, make_env, goal = 1, Lines.tasks, Lines.make_env, Lines.goal\n"
    )
    with pytest.raises(UserError, match="plugin_a:A has no class attribute cameras"):
        load_suite("plugin_a:A")


def test_the_list_shows_broken_plugins_beside_sound_ones(place):
    (place / "plugin_a.py").write_text(SUITE.format(name="A"))
    (place / "plugin_b.py").write_text("1 / 0")
    (place / "plugin_c.py").write_text(
        SUITE.format(name="C") + "\n    def __init__(self):\n        self.missing\n"
    )
    install(place, "alpha", {f"suite_{x}": f"plugin_{x}:{x.upper()}" for x in "abc"})
    sound, unloaded, unbuilt = (
        listing for listing in list_suites() if listing.name.startswith("suite_")
    )
    assert sound.error is None
    assert (sound.version, sound.description) == (2, "A suite of nothing.")
    assert sound.protocols == {"walk": "walk there"}
    assert sound.tasks == {"left": "go left"}
    assert "ZeroDivisionError" in (unloaded.error or "")
    assert "has no attribute 'missing'" in (unbuilt.error or "")
