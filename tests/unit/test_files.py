"""Folders that one process writes to."""

import multiprocessing
import os
import signal
import time

import pytest

from vipl.errors import UserError
from vipl.files import locked


def hold(folder, pipe) -> None:
    with locked(folder, "taken"):
        child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(30,))
        child.start()
        pipe.send(child.pid)
        time.sleep(30)


def test_what_a_killed_process_held_is_free_although_its_children_live(tmp_path):
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=hold, args=(tmp_path, theirs))
    process.start()
    child = ours.recv()
    with pytest.raises(UserError, match="taken"), locked(tmp_path, "taken"):
        pass
    process.kill()
    process.join()
    with locked(tmp_path, "taken"):
        os.kill(child, signal.SIGKILL)  # it is still there
