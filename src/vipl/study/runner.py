"""Running the steps of a study, or those that are left.

What is known of a step is a folder of its own, `{out}/steps/NAME`: its record, what it printed, and
the lock of the process that runs it. Several processes, on several machines with one disk, may run
one study at a time; each takes a step that none of the others has.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from vipl.console import Console
from vipl.errors import UserError
from vipl.files import locked, write_atomically
from vipl.processes.signals import terminated_by_exit
from vipl.study.steps import Step, everything_before, find_steps

RECORD_FILE, OUTPUT_FILE = "record.json", "output.txt"
_WAIT_S = 2.0
_LAST_LINES = 5
# A command of `vipl` that ends with whoever runs the study, and imports nothing from the working
# directory, which `-c` and `-m` put first.
_STEP = """
import sys
sys.path[:] = [folder for folder in sys.path if folder]
sys.path.append(sys.argv.pop(2))
import runpy
from vipl.processes.signals import end_with
end_with(int(sys.argv.pop(1)))
runpy.run_module("vipl.cli", run_name="__main__", alter_sys=True)
"""


@dataclass(frozen=True)
class StepRecord:
    """What is known of a step that was begun.

    Attributes:
        fingerprint: Of the step as it was.
        command: As it was typed.
        seconds: That all attempts took.
        finished: Whether the last one came to its end.
        cores: Of the machine of the last attempt.
    """

    fingerprint: str
    command: str
    seconds: float
    finished: bool
    cores: int | None


def read_record(out: Path, step: Step) -> StepRecord | None:
    """Return what is known of a step, None if it was never begun."""
    file = _folder(out, step) / RECORD_FILE
    if not file.is_file():
        return None
    return StepRecord(**json.loads(file.read_text()))


def is_done(out: Path, step: Step) -> bool:
    """Whether a step has come to its end, as it stands now."""
    record = read_record(out, step)
    return record is not None and record.finished and record.fingerprint == step.fingerprint


def check_unchanged(out: Path, steps: Sequence[Step]) -> None:
    """Refuse to go on with what was made by other commands.

    Raises:
        UserError: If a step was begun as another.
    """
    for step in steps:
        record = read_record(out, step)
        if record is None or record.fingerprint == step.fingerprint:
            continue
        what = "what it needs" if record.command == step.command else "its command"
        raise UserError(
            f"{step.name} was made when {what} was another: --again {step.name!r} makes it and all "
            f"that follows anew, out=FOLDER another study, and {_folder(out, step) / RECORD_FILE} "
            "has the command of then"
        )


def forget(out: Path, steps: Sequence[Step], patterns: Sequence[str]) -> list[Step]:
    """Remove what steps have made, and what followed from it; return these steps.

    Args:
        out: The study's folder.
        steps: All of the study.
        patterns: As in `choose_steps`.

    Raises:
        UserError: If a pattern matches none, or another process is at one of the steps.
    """
    first = {step.name for step in find_steps(steps, patterns)}
    gone = [
        step
        for step in steps
        if step.name in first or any(need.name in first for need in everything_before(step))
    ]
    for step in gone:
        with locked(_folder(out, step), f"another process is at {step.name}: wait for it"):
            for folder in step.outputs():
                shutil.rmtree(folder)
            (_folder(out, step) / RECORD_FILE).unlink(missing_ok=True)
    return gone


def run_steps(out: Path, steps: Sequence[Step], *, jobs: int = 1) -> list[Step]:
    """Run the steps that are not done, each after those that it needs.

    One that fails stops those that need it, and no others. What another process is at is left to
    it, and waited for where nothing else is left.

    Args:
        out: The study's folder.
        steps: In their order; whatever one needs is among them.
        jobs: How many run at a time.

    Returns:
        Those that failed.
    """
    return _Run(out, steps).run(jobs)


class _Run:
    """The steps that are left, those that run, and those that failed."""

    def __init__(self, out: Path, steps: Sequence[Step]) -> None:
        self.out = out
        self.total = len(steps)
        self.left = [step for step in steps if not is_done(out, step)]
        self.running: dict[Future[bool | None], Step] = {}
        self.failed: dict[str, Step] = {}
        self.processes: set[subprocess.Popen[bytes]] = set()
        self.console = Console(highlight=False, soft_wrap=True, markup=False)

    def run(self, jobs: int) -> list[Step]:
        if len(self.left) < self.total:
            self.console.print(f"{self.total - len(self.left)} of {self.total} steps are done")
        # Where an interrupt comes, the steps' processes have got it too, and save before they end.
        with ThreadPoolExecutor(jobs) as pool, terminated_by_exit():
            try:
                while self.left or self.running:
                    self._begin(pool, jobs)
                    self._collect()
            except SystemExit:
                for process in list(self.processes):
                    process.terminate()
                raise
        return list(self.failed.values())

    def _begin(self, pool: ThreadPoolExecutor, jobs: int) -> None:
        """Begin steps while there is room, and drop those whose needs have failed."""
        for step in list(self.left):
            if any(need.name in self.failed for need in step.needs):
                self.failed[step.name] = step
                self.left.remove(step)
                self.console.print(f"{step.name}: left out, as what it needs failed")
            elif len(self.running) < jobs and all(is_done(self.out, n) for n in step.needs):
                self.left.remove(step)
                place = f"[{self.total - len(self.left)}/{self.total}]"
                self.running[pool.submit(self._attempt, step, place)] = step

    def _collect(self) -> None:
        """Wait until a step has ended; those that another process is at come last from then on."""
        if not self.running:
            time.sleep(_WAIT_S)  # all that is left needs what another process is at
            return
        ended, _ = wait(self.running, return_when=FIRST_COMPLETED)
        for future in ended:
            step, outcome = self.running.pop(future), future.result()
            if outcome is None:
                self.left.append(step)
            elif not outcome:
                self.failed[step.name] = step
        if not any(future.result() is not None for future in ended):
            time.sleep(_WAIT_S)

    def _attempt(self, step: Step, place: str) -> bool | None:
        """Run a step; return whether it succeeded, None where another process is at it."""
        folder, held = _folder(self.out, step), "another process is at it"
        try:
            with locked(folder, held):
                return is_done(self.out, step) or self._execute(folder, step, place)
        except UserError as error:
            if str(error) != held:
                raise
            return None

    def _execute(self, folder: Path, step: Step, place: str) -> bool:
        before = read_record(self.out, step)
        output = folder / OUTPUT_FILE
        self.console.print(f"{place} {step.name}  ({output})")
        began = time.monotonic()
        with output.open("ab") as stream:
            stream.write(f"\n$ {step.command}\n".encode())
            stream.flush()
            status = self._call(step.arguments, stream)
        took_s = time.monotonic() - began
        seconds = took_s + (0 if before is None else before.seconds)
        record = StepRecord(
            step.fingerprint, step.command, round(seconds, 1), status == 0, os.cpu_count()
        )
        text = json.dumps(asdict(record), indent=1) + "\n"
        write_atomically(folder / RECORD_FILE, lambda path: path.write_text(text))
        if status == 0:
            self.console.print(f"{place} {step.name}: {in_words(took_s)}")
            return True
        self.console.print(f"{place} {step.name} FAILED with status {status}:")
        for line in output.read_text(errors="replace").strip().splitlines()[-_LAST_LINES:]:
            self.console.print(f"    {line}")
        return False

    def _call(self, arguments: Sequence[str], stream: IO[bytes]) -> int:
        """Run a command of `vipl` and return its status."""
        theirs, ours = os.pipe()
        root = str(Path(__file__).parents[2])
        try:
            process = subprocess.Popen(
                [sys.executable, "-c", _STEP, str(theirs), root, *arguments],
                stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, pass_fds=[theirs],
                env={**os.environ, "PYTHONSAFEPATH": "1"},  # for what the step starts
            )  # fmt: skip
            self.processes.add(process)
            try:
                return process.wait()
            finally:
                self.processes.remove(process)
        finally:
            os.close(theirs)
            os.close(ours)


def in_words(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _folder(out: Path, step: Step) -> Path:
    return out / "steps" / step.name
