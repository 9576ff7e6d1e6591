"""Running an evaluation: which cells there are, which are done, and writing what the rest give."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from vipl.console import Console, say
from vipl.errors import UserError
from vipl.evaluation.evaluator import CONTROLS, ORACLE, RANDOM, Cell, Evaluator, Grid
from vipl.evaluation.results import (
    RECORDS_FILE,
    Record,
    RecordsFile,
    checkpoint_path,
    copy_record,
    find_elsewhere,
    has_results,
    record_key,
    video_path,
    write_states,
)
from vipl.evaluation.run_file import RUN_FILE, claim_run_file, default_run_id
from vipl.evaluation.running.config import Settings
from vipl.evaluation.running.encoders import Encoders, check_device, read_encoders, role_of
from vipl.evaluation.running.launchers import make_pool
from vipl.evaluation.running.pool import launch
from vipl.evaluation.running.progress import Board
from vipl.evaluation.running.provenance import describe_run, installed_version
from vipl.evaluation.running.worker import Failed, Finished, Work
from vipl.files import locked, missing_folders, undone, write_atomically
from vipl.names import choose
from vipl.processes.signals import terminated_by_exit


def evaluate(settings: Settings, *, command: str = "vipl eval") -> Path:
    """Run an evaluation, or what is left of it, and write its report.

    Args:
        settings: As `vipl.evaluation.running.config.resolve` returns them.
        command: That was typed, for `run.json`.

    Returns:
        The run's folder.

    Raises:
        UserError: If the configuration, the encoder or the folder does not allow it, or the first
            cell says what the user must mend.
        SystemExit: With status 1 if cells failed; the report is written nevertheless.
    """
    evaluator = settings.choice.build(settings.suite.cls)
    if settings.options.launcher == "local":  # a cluster's machines have devices of their own
        check_device(settings.options.device)
    cells = list_cells(evaluator, settings)
    encoders = read_encoders(settings.encoder, cells)
    run = describe_run(settings, evaluator, encoders, cells, command=command)
    run_id = settings.options.run_id or default_run_id(run)
    suite_folder = f"{run['suite']['name']}-v{run['suite']['version']}"
    folder = Path(settings.options.out) / suite_folder / run_id
    evaluation = _Evaluation(settings, evaluator, encoders, cells, folder)
    refusal = f"another `vipl eval` is writing to {folder}: wait for it, or choose another --run-id"
    kept, new = partial(has_results, folder), missing_folders(folder)
    with locked(folder, refusal), terminated_by_exit():
        if not has_results(folder):  # it ended before its first record: there is nothing to lose
            (folder / RUN_FILE).unlink(missing_ok=True)
        with undone(folder, new=new, unless=kept):
            claim_run_file(folder, {"run_id": run_id, **run})
            evaluation.run()
    evaluation.check()
    return folder


def list_cells(evaluator: Evaluator, settings: Settings) -> list[Cell]:
    """Return the cells of an evaluation.

    Raises:
        UserError: If a name is unknown, or there are none.
    """
    options, role = settings.options, role_of(settings.encoder)
    choose("task", options.tasks, evaluator.tasks())
    # What is under test is no control of itself; the oracle needs none, as it sees no image.
    dropped = {"trained": (), "random": (RANDOM,), "oracle": CONTROLS}[role]
    grid = Grid(
        tasks=options.tasks,
        cameras=options.cameras,
        seeds=options.seeds,
        protocol=settings.protocol,
        controls=[control for control in options.controls if control not in dropped],
        budgets=options.budgets,
        untrained=role == RANDOM,
    )
    cells = list(dict.fromkeys(evaluator.cells(grid, oracle=role == ORACLE)))
    if not cells:
        raise UserError(f"{settings.suite.name} has no cells to run for these keys")
    return cells


class _Evaluation:
    """The cells of one run, and its folder, which this process holds."""

    def __init__(
        self,
        settings: Settings,
        evaluator: Evaluator,
        encoders: Encoders,
        cells: Sequence[Cell],
        folder: Path,
    ) -> None:
        self.settings = settings
        self.evaluator = evaluator
        self.encoders = encoders
        self.folder = folder
        self.console = Console(highlight=False, soft_wrap=True)
        suite = settings.suite
        common: dict[str, Any] = {
            "suite": suite.name,
            "version": suite.cls.version,
            "arguments": settings.heeded,
            "mujoco": installed_version("mujoco"),
        }
        if inputs := dict(evaluator.inputs()):
            common["inputs"] = inputs
        self.keys = {
            cell: record_key(common, encoders.of(cell).identity(cell.variant), cell)
            for cell in cells
        }
        self.board = Board(
            cells,
            list(suite.cls.metrics_of(settings.protocol)),
            self.console,
            sampled=suite.cls.sampled_tasks,
            graded=suite.cls.graded,
        )

    def run(self) -> None:
        """Run what is not done, and write the report, also when interrupted."""
        records = RecordsFile(self.folder / RECORDS_FILE)
        for line in records.unreadable:
            self.console.print(f"{records.path}: line {line} could not be read and was dropped")
        try:
            with self.board:
                self._run(records)
        except (KeyboardInterrupt, SystemExit):
            if self.board.count:
                self._report()
            raise
        finally:
            records.close()
        self._report()

    def check(self) -> None:
        """Say what failed, if anything did."""
        failures = self.board.failures
        if failures:
            traces = [record.info["traceback"] for record in failures if "traceback" in record.info]
            if traces:  # of a defect, mostly of a suite: its author needs to see where
                say(*traces[0].splitlines(), file=sys.stderr)
            say(
                f"vipl: {len(failures)} of {len(self.keys)} cells failed ({failures[0].error}): "
                "the same command tries them again",
                file=sys.stderr,
            )
            raise SystemExit(1)

    def _run(self, records: RecordsFile) -> None:
        kept = [records.kept[key] for key in self.keys.values() if key in records.kept]
        self.board.keep(kept)
        left = [cell for cell, key in self.keys.items() if key not in records.kept]
        left = self._reuse(left, records)
        if not left:
            return
        self.evaluator.prepare()
        options, suite = self.settings.options, self.settings.suite
        work = Work(
            suite.reference,
            self.settings.choice,
            self.encoders,
            options.device,
            checkpoints={cell: str(self._checkpoint(cell).resolve()) for cell in left},
        )
        with make_pool(options.launcher, work, workers=options.workers, cells=len(left)) as pool:
            any_finished = False
            for cell, result in launch(pool, left):
                if isinstance(result, Failed) and result.mendable and not any_finished:
                    raise UserError(result.error)
                any_finished = True
                record = self._record(cell, result)
                records.append(record)
                self.board.add(record)
                if record.error is None:
                    self._forget(self._checkpoint(cell))

    def _reuse(self, cells: Sequence[Cell], records: RecordsFile) -> list[Cell]:
        """Take records of the same cells from other runs; return the cells that are left."""
        found = find_elsewhere(self.folder, [self.keys[cell] for cell in cells])
        for cell in cells:
            key = self.keys[cell]
            if key in found:
                record = copy_record(found[key], self.folder, cell)
                records.append(record)
                self.board.add(record, source=found[key][0].name)
        return [cell for cell in cells if self.keys[cell] not in found]

    def _checkpoint(self, cell: Cell) -> Path:
        return self.folder / checkpoint_path(self.keys[cell])

    def _forget(self, checkpoint: Path) -> None:
        checkpoint.unlink(missing_ok=True)
        with suppress(OSError):  # others are there, or there never was one
            checkpoint.parent.rmdir()

    def _record(self, cell: Cell, result: Finished | Failed) -> Record:
        place: dict[str, Any] = {**vars(cell), "key": self.keys[cell]}
        seconds = round(result.seconds, 3)
        if isinstance(result, Failed):
            info = {"traceback": result.traceback} if result.traceback else {}
            return Record(**place, info=info, seconds=seconds, error=result.error)
        video = None
        if result.video is not None:
            video, content = video_path(cell), result.video
            write_atomically(self.folder / video, lambda path: path.write_bytes(content))
        if result.states is not None:
            write_states(self.folder, cell, result.states)
        return Record(
            **place,
            metrics=result.metrics,
            traces=result.traces,
            info=result.info,
            video=video,
            seconds=seconds,
        )

    def _report(self) -> None:
        from vipl.evaluation.reports.report import write_report

        self.console.print(self.board.table())
        for note in self.board.notes():
            self.console.print(note, markup=False)
        self.console.print(f"report: {write_report(self.folder)}")
