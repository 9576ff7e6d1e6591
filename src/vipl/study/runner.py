"""Running the steps of a study, or those that are left.

What is known of a step is a folder of its own, `{out}/steps/NAME`: its record, what it printed, and
the lock of the process that runs it. Several processes, on several machines with one disk, may run
one study at a time; each takes a step that none of the others has.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from vipl.console import Console
from vipl.errors import UserError
from vipl.files import locked, write_atomically
from vipl.study.steps import Step, everything_before, matches

RECORD_FILE, OUTPUT_FILE = "record.json", "output.txt"
_WAIT_S = 2.0
_LAST_LINES = 5


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
    first = set()
    for pattern in patterns:
        found = {step.name for step in steps if matches(step, pattern)}
        if not found:
            raise UserError(f"--again {pattern!r} is no step of this study (`vipl study status`)")
        first |= found
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


def run_steps(out: Path, steps: Sequence[Step]) -> list[Step]:
    """Run the steps that are not done, each after those that it needs.

    One that fails stops those that need it, and no others. What another process is at is left to
    it, and waited for where nothing else is left.

    Args:
        out: The study's folder.
        steps: In their order; whatever one needs is among them.

    Returns:
        Those that failed.
    """
    console = Console(highlight=False, soft_wrap=True, markup=False)
    failed: dict[str, Step] = {}
    left = [step for step in steps if not is_done(out, step)]
    if len(left) < len(steps):
        console.print(f"{len(steps) - len(left)} of {len(steps)} steps are done")
    while left:
        before = len(left)
        for step in list(left):
            if any(need.name in failed for need in step.needs):
                failed[step.name] = step
                left.remove(step)
                console.print(f"{step.name}: left out, as what it needs failed")
            elif all(is_done(out, need) for need in step.needs):
                place = f"[{len(steps) - len(left) + 1}/{len(steps)}]"
                outcome = _attempt(out, step, console, place)
                if outcome is None:  # another process is at it
                    continue
                if not outcome:
                    failed[step.name] = step
                left.remove(step)
        if len(left) == before:
            time.sleep(_WAIT_S)
    return list(failed.values())


def _attempt(out: Path, step: Step, console: Console, place: str) -> bool | None:
    """Run a step; return whether it succeeded, None where another process is at it."""
    folder = _folder(out, step)
    held = "another process is at it"
    try:
        with locked(folder, held):
            if is_done(out, step):
                return True
            return _run(folder, step, console, place)
    except UserError as error:
        if str(error) != held:
            raise
        return None


def _run(folder: Path, step: Step, console: Console, place: str) -> bool:
    before_s = 0.0
    if (folder / RECORD_FILE).is_file():
        before_s = StepRecord(**json.loads((folder / RECORD_FILE).read_text())).seconds
    console.print(f"{place} {step.name}  ({folder / OUTPUT_FILE})")
    began = time.monotonic()
    status = None
    try:
        with (folder / OUTPUT_FILE).open("ab") as stream:
            stream.write(f"\n$ {step.command}\n".encode())
            stream.flush()
            status = _call(step.arguments, stream.fileno())
    finally:
        seconds = before_s + time.monotonic() - began
        record = StepRecord(
            step.fingerprint, step.command, round(seconds, 1), status == 0, os.cpu_count()
        )
        text = json.dumps(asdict(record), indent=1) + "\n"
        write_atomically(folder / RECORD_FILE, lambda path: path.write_text(text))
    if status == 0:
        console.print(f"{place} {step.name}: {in_words(time.monotonic() - began)}")
        return True
    lines = (folder / OUTPUT_FILE).read_text(errors="replace").strip().splitlines()
    console.print(f"{place} {step.name} FAILED with status {status}:")
    for line in lines[-_LAST_LINES:]:
        console.print(f"    {line}")
    return False


def _call(arguments: Sequence[str], stream: int) -> int:
    """Run a command of `vipl`; it ends before this returns or raises."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with _terminated_by_exit():
        process = subprocess.Popen(
            [sys.executable, "-m", "vipl.cli", *arguments],
            stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment,
        )  # fmt: skip
        try:
            return process.wait()
        except KeyboardInterrupt:  # the terminal has told it, too: it saves before it ends
            process.wait()
            raise
        except SystemExit:
            process.terminate()
            process.wait()
            raise


@contextmanager
def _terminated_by_exit() -> Iterator[None]:
    def leave(*unused: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def in_words(seconds: float) -> str:
    """Return a duration as people say it."""
    minutes, rest = divmod(round(seconds), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


def _folder(out: Path, step: Step) -> Path:
    return out / "steps" / step.name
