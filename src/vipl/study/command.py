"""`vipl study`: what its arguments mean."""

import argparse
import shlex
import sys
from pathlib import Path

from vipl.console import Console, say
from vipl.errors import UserError
from vipl.study.description import Study, read_study
from vipl.study.page import write_study
from vipl.study.runner import (
    check_unchanged,
    forget,
    in_words,
    is_done,
    read_record,
    run_steps,
)
from vipl.study.steps import Step, choose_steps, list_steps


def run(args: argparse.Namespace) -> None:
    """Run a study, or what is left of it, and write its page."""
    study, steps = _read(args)
    chosen = choose_steps(steps, args.only)
    if args.dry_run:
        for step in chosen:
            say(step.command)
        return
    out = Path(study.out)
    if args.jobs < 1:  # before anything is removed
        raise UserError(f"--jobs is {args.jobs}, expected 1 or more")
    if args.again:
        forget(out, steps, args.again)
    check_unchanged(out, chosen)
    try:
        failed = run_steps(out, chosen, jobs=args.jobs)
    finally:
        say(f"page: {write_study(study, steps, command=_command(args))}")
    if failed:
        names = ", ".join(step.name for step in failed)
        say(
            f"vipl: {len(failed)} of {len(chosen)} steps did not come to their end ({names}): "
            "the same command tries them again",
            file=sys.stderr,
        )
        raise SystemExit(1)


def status(args: argparse.Namespace) -> None:
    """Say which steps are done, and how long they took."""
    study, steps = _read(args)
    out = Path(study.out)
    console = Console(highlight=False, soft_wrap=True, markup=False)
    for step in steps:
        record = read_record(out, step)
        if record is None:
            state = "not run"
        elif record.fingerprint != step.fingerprint:
            state = "made by another command"
        elif record.finished:
            state = f"done in {in_words(record.seconds)}"
        else:
            state = f"not finished, {in_words(record.seconds)} so far"
        console.print(f"{step.name}: {state}")
    done = sum(is_done(out, step) for step in steps)
    console.print(f"{done} of {len(steps)} steps are done; everything is in {out}")


def page(args: argparse.Namespace) -> None:
    """Write the page of what there is."""
    study, steps = _read(args)
    if not Path(study.out).is_dir():
        raise UserError(f"there is nothing in {study.out} yet: {_command(args)} begins it")
    say(f"page: {write_study(study, steps, command=_command(args))}")


def _read(args: argparse.Namespace) -> tuple[Study, list[Step]]:
    study = read_study(args.file, args.overrides)
    return study, list_steps(study)


def _command(args: argparse.Namespace) -> str:
    return shlex.join(["vipl", "study", "run", args.file, *args.overrides])
