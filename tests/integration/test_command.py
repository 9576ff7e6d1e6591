"""The command as a process: how fast it answers, what it imports, how it fails."""

import errno
import os
import subprocess
import sys
import time

import pytest

import vipl
from vipl import cli
from vipl.cli import main


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def fastest_s(*arguments):
    """Best of three: other processes may be at work."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert run(*arguments).returncode == 0
        times.append(time.perf_counter() - start)
    return min(times)


def test_help_answers_at_once():
    assert fastest_s("-m", "vipl.cli", "--help") < 1.5


def test_importing_vipl_is_cheap():
    bare = fastest_s("-c", "pass")
    assert fastest_s("-c", "import vipl") - bare < 0.3


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import vipl", ("torch", "numpy", "mujoco", "gymnasium", "vipl_evaluators")),
        ("import vipl.training.fit", ("mujoco", "gymnasium", "vipl.evaluation", "vipl_evaluators")),
        ("import vipl.rewards.compare_curves", ("mujoco", "gymnasium", "vipl_evaluators")),
        ("import vipl.embed.command", ("pytorch_lightning", "mujoco", "gymnasium")),
        ("import vipl.data.processes.isolation", ("torch",)),
        (
            "import vipl.evaluation.reports.comparison.command",
            ("torch", "mujoco", "gymnasium", "vipl_evaluators"),
        ),
        ("import vipl_evaluators.frankakitchen.render", ("torch",)),
        ("import vipl_evaluators.videos", ("mujoco", "gymnasium", "pytorch_lightning")),
    ],
)
def test_what_is_not_imported(statement, absent):
    loaded = f"import sys; {statement}; print(*[m for m in {absent!r} if m in sys.modules])"
    done = run("-c", loaded)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_public_names_are_there():
    names = "from vipl import Encoder, GoalReward, load_encoder, save_encoder, __version__"
    assert run("-c", names).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        vipl.nothing  # noqa: B018


@pytest.mark.parametrize(("command", "first"), [("eval --list", "adroit"), ("fit --help", "usage")])
def test_a_reader_that_has_seen_enough_is_no_error(command, first):
    pipe = f"set -o pipefail; {sys.executable} -m vipl.cli {command} | head -n 1"
    done = subprocess.run(["bash", "-c", pipe], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 141)
    assert done.stdout.startswith(first)
    assert "Traceback" not in done.stderr
    assert "BrokenPipeError" not in done.stderr


def test_no_command_and_unknown_commands():
    for arguments in ([], ["fitt"], ["manifest", "check", "m.parquet", "--colour"]):
        with pytest.raises(SystemExit) as exit_info:
            main(arguments)
        assert exit_info.value.code == 2


def test_fit_without_a_configuration(capsys):
    assert main(["fit"]) == 2
    assert "vipl fit --config folder" in capsys.readouterr().err


def test_debug_shows_the_traceback(capsys):
    assert main(["manifest", "check", "nowhere.parquet", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def _closed_by(error):
    """Raise as torch does: an error of its own while it deals with the system's."""
    try:
        raise error
    except OSError:
        raise RuntimeError("unexpected pos 64 vs 0")  # noqa: B904 - no cause, as there


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOSPC, "No space left on device; free some, or write to another disk"),
        (errno.EFBIG, "File too large; allow larger files by `ulimit -f unlimited`"),
        (errno.EMFILE, "Too many open files; allow more by `ulimit -n 65536`"),
        (errno.ENAMETOOLONG, "File name too long"),
        (errno.ELOOP, "Too many levels of symbolic links"),
    ],
)
def test_what_the_system_refuses_is_a_sentence(monkeypatch, capsys, number, said):
    error = OSError(number, os.strerror(number), "runs/a")
    monkeypatch.setattr("vipl.cli.fit.run_fit", lambda args: _closed_by(error))
    assert main(["fit", "--config", "folder"]) == 2
    assert capsys.readouterr().err == f"vipl: runs/a: {said}\n"


def test_a_defect_that_came_up_on_the_way_keeps_its_traceback(monkeypatch):
    def run(args):
        try:
            raise FileNotFoundError(errno.ENOENT, "No such file", "runs/a")
        except OSError:
            raise KeyError("ours")  # noqa: B904

    monkeypatch.setattr("vipl.cli.fit.run_fit", run)
    with pytest.raises(KeyError, match="ours"):
        main(["fit", "--config", "folder"])


def test_names_that_cannot_be(tmp_path, capsys):
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert main(["configs", "copy", "folder", str(tmp_path / "a" / "x.yaml")]) == 2
    assert main(["configs", "copy", "folder", str(tmp_path / ("x" * 300))]) == 2
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2
    assert "File name too long" in shown[1]


class Plugin:
    """An installed command."""

    name = "extra"
    value = "somewhere:add"

    def __init__(self, load):
        self.load = load


def test_a_plugin_that_does_not_load_says_so_when_it_is_called(monkeypatch, capsys):
    def load():
        raise ImportError("No module named 'heavy'")

    monkeypatch.setattr(cli, "entry_points", lambda group: [Plugin(load)])
    assert main(["extra", "--anything"]) == 2
    assert "No module named 'heavy'" in capsys.readouterr().err
    assert main(["fit"]) == 2


def test_a_plugins_command_runs(monkeypatch, capsys):
    def add(commands):
        commands.add_parser("extra").set_defaults(run=lambda args: print("ran"))

    monkeypatch.setattr(cli, "entry_points", lambda group: [Plugin(lambda: add)])
    assert main(["extra"]) == 0
    assert capsys.readouterr().out == "ran\n"
