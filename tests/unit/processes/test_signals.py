"""Signals that stop a run, and processes that do not heed them."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest

from vipl.processes.signals import StopRequest, obey_parent_only, shielded


@pytest.fixture
def restored():
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in signals}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("restored")
def test_a_request_remembers_the_signal(capfd):
    request = StopRequest()
    request.listen({signal.SIGINT, signal.SIGTERM}, announce=True)
    assert request.signal is None
    os.kill(os.getpid(), signal.SIGTERM)
    assert request.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGINT) != signal.SIG_DFL
    os.kill(os.getpid(), signal.SIGINT)
    assert request.signal == signal.SIGINT
    assert "Ctrl-C again ends at once" in capfd.readouterr().err
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


HOLDER = """
import os, subprocess, sys
theirs, ours = os.pipe()
code = "import time; from vipl.processes.signals import end_with; end_with(%d)" % theirs
code += "; time.sleep(100)"
child = subprocess.Popen([sys.executable, "-c", code], pass_fds=[theirs])
print(child.pid, flush=True)
child.wait()
"""


def test_a_process_ends_when_the_one_that_started_it_is_killed():
    with subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE) as holder:
        child = int(holder.stdout.readline())
        holder.kill()
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{child}") and "Z" not in state(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def state(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def serve(pipe) -> None:
    obey_parent_only()
    pipe.send("ready")
    time.sleep(100)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_a_loading_process_ends_for_its_parent_only(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    process = context.Process(target=serve, args=(theirs,))
    process.start()
    assert ours.recv() == "ready"
    for name in ("TERM", "INT", "USR1"):  # from another process than its parent
        subprocess.run(["sh", "-c", f"kill -{name} {process.pid}"], check=True)
    time.sleep(0.2)
    assert process.is_alive()
    process.terminate()
    process.join(10)
    assert process.exitcode == 0


def test_a_shielded_process_does_not_see_the_signals_of_its_group():
    program = "print('ready', flush=True); import sys; print(sys.stdin.readline(), flush=True)"
    with shielded():
        child = subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    assert signal.SIGTERM not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
    assert child.stdout.readline() == "ready\n"
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        child.send_signal(number)
    shown, _ = child.communicate("still here\n")
    assert (shown.strip(), child.returncode) == ("still here", 0)
