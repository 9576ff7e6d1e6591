"""Contexts in processes of their own: what goes wrong here ends a process."""

import os
import subprocess
import sys

import pytest

from vipl.cli import main
from vipl.control.opengl import check_setting
from vipl.errors import UserError

DRAW = "from vipl.control.opengl import make_context\ncontext = make_context(size=16)\n"


def run_python(code: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    known = {name: os.environ[name] for name in os.environ if name not in ("MUJOCO_GL", "VIPL_GL")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**known, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.usefixtures("opengl")
def test_torchvision_may_be_imported_after_the_first_context() -> None:
    code = (
        "import mujoco, numpy as np\n"
        "model = mujoco.MjModel.from_xml_string('<mujoco/>')\n"
        "resources = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)\n"
        "scene, area = mujoco.MjvScene(model, maxgeom=1), mujoco.MjrRect(0, 0, 16, 16)\n"
        "mujoco.mjr_render(area, scene, resources)\n"
        "import torchvision\n"
        "context.free(); print('alive')"
    )
    run = run_python(DRAW + code)
    assert (run.returncode, run.stdout.strip()) == (0, "alive"), run.stderr


KITCHEN = """
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS
kitchen = KitchenEnv(TASKS["sdoor_open"], image_size=16)
assert kitchen.render(kitchen.start_state()[None], "left_cam").std() > 10
"""
OWN_CONTEXT = """
import mujoco
context = mujoco.GLContext(16, 16)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), 100)
"""
ENCODERS = "import vipl.models, timm, torchvision\n"


@pytest.mark.parametrize(
    ("backend", "code"),
    [
        pytest.param("osmesa", KITCHEN + ENCODERS, id="osmesa, the suite first"),
        pytest.param("egl", OWN_CONTEXT + ENCODERS, id="egl, drawn before vipl"),
        pytest.param(
            "osmesa", "import mujoco\n" + KITCHEN + ENCODERS, id="osmesa, mujoco first",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            "osmesa", OWN_CONTEXT + ENCODERS, id="osmesa, drawn before vipl",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_whatever_comes_first_the_process_lives(backend: str, code: str) -> None:
    if run_python(OWN_CONTEXT, MUJOCO_GL=backend).returncode:
        pytest.skip(f"{backend} does not draw here")
    run = run_python(code + "import os; print('alive', flush=True); os._exit(0)", MUJOCO_GL=backend)
    assert (run.returncode, run.stdout.strip()) == (0, "alive"), run.stderr


@pytest.mark.skipif("DISPLAY" in os.environ, reason="glfw works where there is a display")
def test_setting_that_does_not_work_here_is_named() -> None:
    run = run_python(DRAW, MUJOCO_GL="glfw")
    expected = "vipl.errors.UserError: no OpenGL to render with: MUJOCO_GL is 'glfw': unset it, or"
    assert run.stderr.strip().splitlines()[-1].startswith(expected)


@pytest.fixture
def no_library(monkeypatch):
    """A machine on which nothing draws; MUJOCO_GL is unset, and what is set is taken back."""
    monkeypatch.setattr("vipl.control.opengl._TRIAL", "raise SystemExit('no such library')")
    for name in ("MUJOCO_GL", "VIPL_GL"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize("setting", ["egl", "osmesa"])
def test_a_setting_with_which_mujoco_does_not_import_is_refused_first(no_library, setting):
    no_library.setenv("MUJOCO_GL", setting)
    with pytest.raises(UserError, match=rf"MUJOCO_GL is '{setting}': unset.*: no such library\)$"):
        check_setting()


@pytest.mark.parametrize("setting", ["nonsense", "wgl"])
def test_a_setting_that_mujoco_does_not_know_is_refused(no_library, capsys, setting):
    no_library.setenv("MUJOCO_GL", setting)
    assert main(["demos", "verify", "--tasks", "light_on"]) == 2
    said = f"MUJOCO_GL is '{setting}', expected one of egl, osmesa, glfw"
    assert said in capsys.readouterr().err


@pytest.mark.usefixtures("opengl")
def test_a_process_forked_from_one_that_has_drawn_does_not_wait_for_ever() -> None:
    code = (
        "import multiprocessing, sys\n"
        "from vipl.control.opengl import make_context\n"
        "from vipl.errors import UserError\n"
        "def draw():\n"
        "    try:\n"
        "        make_context(size=16)\n"
        "    except UserError as error:\n"
        "        print(error, flush=True)\n"
        "make_context(size=16)\n"
        "process = multiprocessing.get_context('fork').Process(target=draw)\n"
        "process.start()\n"
        "process.join(20)\n"
        "sys.exit(process.exitcode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert 'start it afresh, as by vector_kwargs={"context": "spawn"}' in done.stdout


@pytest.mark.parametrize("setting", ["", "glfw", "disabled"])
def test_other_settings_do_not_keep_mujoco_from_being_imported(no_library, setting):
    no_library.setenv("MUJOCO_GL", setting)
    check_setting()


def test_a_setting_that_works_is_tried_once(no_library):
    no_library.setenv("MUJOCO_GL", "osmesa")
    no_library.setattr("vipl.control.opengl._TRIAL", "")
    check_setting()
    assert os.environ["VIPL_GL"] == "osmesa"
    no_library.setattr("vipl.control.opengl._TRIAL", "raise SystemExit('tried again')")
    check_setting()


def test_commands_that_simulate_refuse_it(no_library, capsys):
    no_library.setenv("MUJOCO_GL", "osmesa")
    assert main(["demos", "verify", "--tasks", "light_on"]) == 2
    assert "no OpenGL to render with: MUJOCO_GL is 'osmesa'" in capsys.readouterr().err


def test_gymnasiums_make_names_it(tmp_path):
    broken = tmp_path / "mujoco" / "__init__.py"
    broken.parent.mkdir()
    broken.write_text("raise AttributeError('what mujoco says without a library')")
    code = "import gymnasium, vipl_evaluators.gym as g; gymnasium.make(g.env_id('light_on'))"
    run = run_python(code, MUJOCO_GL="egl", PYTHONPATH=str(tmp_path))
    assert run.returncode == 1
    expected = "vipl.errors.UserError: no OpenGL to render with: MUJOCO_GL is 'egl': unset it, or"
    assert run.stderr.strip().splitlines()[-1].startswith(expected)
