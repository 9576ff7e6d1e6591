"""Pictures by several processes or contexts: as by one, and what happens when one ends."""

import multiprocessing
import os
import signal

import numpy as np
import pytest

from vipl.control import renderer
from vipl_evaluators.frankakitchen.environment import KitchenEnv
from vipl_evaluators.frankakitchen.tasks import TASKS

pytestmark = pytest.mark.usefixtures("opengl")


def test_processes_draw_what_one_does_and_leave_none_behind():
    before = set(multiprocessing.active_children())
    alone = KitchenEnv(TASKS["sdoor_open"], image_size=16)
    several = KitchenEnv(TASKS["sdoor_open"], image_size=16, threads=2)
    states = alone.start_states(9, np.random.default_rng(0))
    expected = alone.render(states, "left_cam")
    assert len(np.unique(expected.reshape(9, -1), axis=0)) > 1
    few = several.render(states[:2], "left_cam")  # not worth asking for help
    assert np.array_equal(few, expected[:2])
    assert set(multiprocessing.active_children()) == before
    assert np.array_equal(several.render(states, "left_cam"), expected)
    (helper,) = set(multiprocessing.active_children()) - before
    os.kill(helper.pid, signal.SIGKILL)
    helper.join()
    with pytest.raises(
        RuntimeError, match=r"a process that renders died \(killed by SIGKILL, perhaps"
    ):
        several.render(states, "left_cam")
    assert np.array_equal(several.render(states, "right_cam"), alone.render(states, "right_cam"))
    several.close()
    assert set(multiprocessing.active_children()) == before
    alone.close()


def leave(pipe):
    os._exit(3)


def test_one_that_dies_before_it_reads_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(renderer, "_serve", leave)
    env = KitchenEnv(TASKS["sdoor_open"], image_size=16, threads=2)
    states = env.start_states(9, np.random.default_rng(0))
    with pytest.raises(RuntimeError, match=r"a process that renders died \(exit status 3\)"):
        env.render(states, "left_cam")
    env.close()


def test_a_context_that_ends_takes_nothing_from_the_others():
    first, second = (KitchenEnv(TASKS["sdoor_open"], image_size=16) for _ in range(2))
    state = first.start_state()[None]
    expected = first.render(state, "left_cam")
    assert np.array_equal(second.render(state, "left_cam"), expected)
    first.close()
    assert np.array_equal(second.render(state, "left_cam"), expected)
    second.close()
