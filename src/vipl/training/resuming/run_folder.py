"""The folder of a run: held by one process, and never overwritten unasked."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning_fabric.utilities import rank_zero_only

from vipl.errors import UserError
from vipl.files import LOCK_NAME, clear_temporaries, locked, missing_folders, undone
from vipl.training.resuming.files import LAST, by_step, folder_of

CONFIG_FILE = "config.yaml"
"""Of the composed configuration: a folder that has it is a run's."""

_LISTS = ("bad_clips.csv", "not_finite.csv")  # of clips: messages say that more are listed there


@contextmanager
def claimed(run_dir: Path, *, overwrite: bool, resume: bool) -> Iterator[None]:
    """Make a run's folder and hold it against other runs.

    What fails before its first checkpoint leaves nothing, unless it has listed clips, and what was
    killed before that is replaced: there is nothing to lose.

    Args:
        run_dir: The folder.
        overwrite: Delete the run that it holds.
        resume: Go on with the run that it holds.

    Raises:
        UserError: If another process writes there, or it holds something and neither is asked.
    """
    if getattr(rank_zero_only, "rank", 0) != 0:
        yield
        return
    refusal = f"another `vipl fit` is writing to {run_dir}: choose another folder by run_dir=…"
    _check_holds_no_other(run_dir)
    new = missing_folders(run_dir)
    with locked(run_dir, refusal):
        if not resume:
            _clear(run_dir, overwrite=overwrite)
        for folder in (run_dir, *filter(Path.is_dir, run_dir.iterdir())):
            clear_temporaries(folder)
        with undone(run_dir, new=new, unless=lambda: _is_worth_keeping(run_dir)):
            yield


def _check_holds_no_other(run_dir: Path) -> None:
    """Refuse a folder of something else, before anything is put into it."""
    if run_dir.is_dir() and _content(run_dir) and not (run_dir / CONFIG_FILE).is_file():
        raise UserError(f"{run_dir} holds files that are not a run's: choose another by run_dir=…")


def _content(run_dir: Path) -> list[Path]:
    return [entry for entry in run_dir.iterdir() if entry.name != LOCK_NAME]


def _has_trained(run_dir: Path) -> bool:
    """Whether a run has come to a checkpoint after its first step."""
    return (run_dir / "encoder").exists() or any(by_step(folder_of(run_dir)))


def _is_worth_keeping(run_dir: Path) -> bool:
    return _has_trained(run_dir) or any((run_dir / name).exists() for name in _LISTS)


def _clear(run_dir: Path, *, overwrite: bool) -> None:
    _check_holds_no_other(run_dir)
    content = _content(run_dir)
    if content and not _has_trained(run_dir):
        print(f"{run_dir} holds a run that ended before its first checkpoint: it is replaced")
    elif content and not overwrite:
        raise UserError(
            f"{run_dir} holds a run already: choose another folder by run_dir=…, replace it by "
            f"overwrite=true, or go on with it by ckpt_path={LAST}"
        )
    for entry in content:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
