"""What a worker process does: one cell of an evaluation, whatever launched it."""

import hashlib
import importlib
import io
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vipl.data.encoding.video_writer import write_h264
from vipl.errors import UserError
from vipl.evaluation.evaluator import RANDOM, Cell, Evaluator, Outcome
from vipl.evaluation.running.config import Choice
from vipl.evaluation.running.encoders import Encoders
from vipl.models.encoder import Encoder

_KEPT_ENCODERS = 3


@dataclass(frozen=True)
class Work:
    """All that a worker needs beside the cells, made of plain values.

    Attributes:
        suite: The evaluator as `module:Class`.
        choice: Of its arguments, protocol and settings.
        encoders: Under test.
        device: Where they run.
        threads: Cores that a cell may use.
        search_path: `sys.path` of the process that launches.
        directory: Its working directory.
        checkpoints: Cell to the file in which it may keep what it needs to go on.
        token: Tells this work from another in the same process.
    """

    suite: str
    choice: Choice
    encoders: Encoders
    device: str = "cpu"
    threads: int = 1
    search_path: Sequence[str] = field(default_factory=lambda: tuple(sys.path))
    directory: str = field(default_factory=os.getcwd)
    checkpoints: Mapping[Cell, str] = field(default_factory=dict)
    token: str = field(default_factory=lambda: os.urandom(8).hex())


@dataclass(frozen=True)
class Finished:
    """What a cell gave, made of plain values.

    Attributes:
        metrics: As in `Outcome`.
        traces: As in `Outcome`.
        info: As in `Outcome`.
        video: An MP4 file's content, or None.
        states: As in `Outcome`.
        seconds: That the cell took.
    """

    metrics: dict[str, float]
    traces: dict[str, list[float]]
    info: dict[str, Any]
    video: bytes | None
    states: NDArray[np.float64] | None
    seconds: float


@dataclass(frozen=True)
class Failed:
    """Why a cell gave nothing.

    Attributes:
        error: "Type: message".
        traceback: Empty where the process died.
        mendable: Whether the user can mend it, and `error` says how.
        seconds: That the cell took.
    """

    error: str
    traceback: str = ""
    mendable: bool = False
    seconds: float = 0.0


class Worker:
    """Runs cells of one work, and keeps its evaluator and some encoders between them.

    Args:
        work: To do.
    """

    def __init__(self, work: Work) -> None:
        self.work = work
        self._evaluator: Evaluator | None = None
        self._encoders: dict[tuple[str, int | None], Encoder | None] = {}

    def run(self, cell: Cell) -> Finished | Failed:
        """Run one cell; what it raises is returned."""
        # A sum's order, and so its last digit, depends on the number of threads: with one each,
        # records do not depend on the number of workers.
        torch.set_num_threads(1)
        start = time.perf_counter()
        try:
            outcome = self._run(cell)
            checked = _check(outcome, type(self._get_evaluator()), cell.protocol)
            seconds = time.perf_counter() - start
            return Finished(*checked, _encode(outcome), outcome.states, seconds)
        except UserError as error:
            return Failed(str(error), mendable=True, seconds=time.perf_counter() - start)
        except Exception as error:
            text = f"{type(error).__name__}: {error}".rstrip(": ")
            seconds = time.perf_counter() - start
            return Failed(text, traceback.format_exc(), seconds=seconds)

    def _run(self, cell: Cell) -> Outcome:
        evaluator = self._get_evaluator()
        encoder = self._get_encoder(cell)
        evaluator.checkpoint = self._checkpoint(cell)
        with torch.inference_mode():
            return evaluator.run_cell(cell, encoder, generator(cell))

    def _get_evaluator(self) -> Evaluator:
        if self._evaluator is None:
            sys.path.extend(path for path in self.work.search_path if path not in sys.path)
            if Path(self.work.directory).is_dir():  # not so on another machine
                os.chdir(self.work.directory)
            module, _, name = self.work.suite.partition(":")
            cls = getattr(importlib.import_module(module), name)
            self._evaluator = self.work.choice.build(cls)
            self._evaluator.threads = self.work.threads
        return self._evaluator

    def _checkpoint(self, cell: Cell) -> Path | None:
        """Return the cell's file, unless this is another machine without the run's folder."""
        path = self.work.checkpoints.get(cell)
        if path is None or not Path(path).parents[1].is_dir():
            return None
        return Path(path)

    def _get_encoder(self, cell: Cell) -> Encoder | None:
        spec = self.work.encoders.of(cell)
        drawn = RANDOM in (cell.variant, spec.role)
        key = (spec.identity(cell.variant), cell.seed if drawn else None)
        if key not in self._encoders:
            if len(self._encoders) == _KEPT_ENCODERS:  # there may be one for each cell
                del self._encoders[next(iter(self._encoders))]
            encoder = spec.build(cell.variant, cell.seed)
            self._encoders[key] = encoder and encoder.to(self.work.device)
        return self._encoders[key]


def generator(cell: Cell) -> np.random.Generator:
    """Return a cell's source of randomness.

    It depends on seed and task alone, so that encoder, controls and cameras meet the same
    starts and the same noise, and are compared in pairs.
    """
    task = int.from_bytes(hashlib.sha256(cell.task.encode()).digest()[:16], "little")
    return np.random.default_rng(np.random.SeedSequence([cell.seed, task]))


def _check(
    outcome: Outcome, cls: type[Evaluator], protocol: str
) -> tuple[dict[str, float], dict[str, list[float]], dict[str, Any]]:
    """Return metrics, traces and info as plain values, or raise where a plugin erred."""
    metrics = {name: float(value) for name, value in outcome.metrics.items()}
    known, told = cls.metrics_of(protocol), [*metrics, *outcome.undefined]
    if protocol in cls.protocol_metrics:
        place = f"metrics of the protocol {protocol}"
    else:
        place = f"{cls.__name__}.higher_is_better"
    if unknown := [name for name in told if name not in known]:
        raise ValueError(
            f"the cell gave {', '.join(unknown)}, which {place} lacks (it has {', '.join(known)}): "
            "add each metric with its direction"
        )
    if (primary := next(iter(known))) not in told:
        raise ValueError(
            f"the cell gave {', '.join(told) or 'no metric'}, but not {primary}, the first of "
            f"{place}, which tables show"
        )
    traces = {name: [float(value) for value in row] for name, row in outcome.traces.items()}
    for name, values in [*((key, [value]) for key, value in metrics.items()), *traces.items()]:
        if not all(map(math.isfinite, values)):
            raise ValueError(f"{name} holds a value that is not finite")
    kept = {"undefined": dict(outcome.undefined)} if outcome.undefined else {}
    text = json.dumps({**outcome.info, **kept}, allow_nan=False, default=_plain)
    info: dict[str, Any] = json.loads(text)
    return metrics, traces, info


def _plain(value: object) -> object:
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"info holds a {type(value).__name__}, expected JSON values")


def _encode(outcome: Outcome) -> bytes | None:
    if outcome.frames is None or not len(outcome.frames):
        return None
    stream = io.BytesIO()
    write_h264(stream, outcome.frames, fps_hz=outcome.fps_hz)
    return stream.getvalue()
