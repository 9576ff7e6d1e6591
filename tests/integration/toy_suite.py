"""A suite without physics: what `vipl eval` is tested on, and what can go wrong in one."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from vipl.errors import UserError
from vipl.evaluation.evaluator import ORACLE, Cell, Evaluator, Grid, Outcome
from vipl.names import choose


@dataclass
class Planner:
    """How plans are made.

    Attributes:
        samples: Plans at once.
    """

    samples: int = 4


PLANNER = Planner()


class Toy(Evaluator):
    """Reach places on a line.

    Args:
        setting: Easy or hard.
        planner: How to plan.
        trouble: Task to what befalls it: kill, raise, sleep or mend, all cells or one (_once).
        scratch: Folder in which cells leave marks.
    """

    version = 3
    higher_is_better: ClassVar[Mapping[str, bool]] = {"success": True, "error": False}
    protocols: ClassVar[Mapping[str, str]] = {"walk": "walk there", "jump": "jump there"}
    labels: ClassVar[Mapping[str, str]] = {"error": "error (m)"}

    def __init__(
        self,
        *,
        setting: str = "easy",
        planner: Planner = PLANNER,
        trouble: dict[str, str] | None = None,
        scratch: str | None = None,
    ) -> None:
        if setting not in ("easy", "hard"):
            raise ValueError(f"setting is {setting!r}, expected easy or hard")
        self.planner = planner
        self.trouble = trouble or {}
        self.scratch = scratch

    def tasks(self):
        return {"left": "go left", "right": "go right", "up": "go up"}

    def cells(self, grid: Grid, *, oracle: bool) -> list[Cell]:
        tasks = choose("task", grid.tasks, self.tasks())
        cameras = choose("camera", grid.cameras, ("front", "side"))
        variants = ["main", *grid.controls, *(f"samples={n}" for n in grid.budgets)]
        return [
            Cell(task, camera, seed, grid.protocol, variant)
            for variant in variants
            for task in tasks
            for seed in grid.seeds
            for camera in (cameras[:1] if oracle or variant == ORACLE else cameras)
        ]

    def run_cell(self, cell, encoder, rng) -> Outcome:
        self._mark("ran.txt", f"{os.getpid()} {cell.variant} {cell.task} {cell.camera}")
        self._befall(cell)
        start = rng.normal(size=2)
        images = torch.from_numpy(rng.integers(0, 255, (3, 3, 41, 39), dtype=np.uint8))
        distance = np.linspace(1, 0, 3)
        if encoder is not None:
            assert torch.is_inference_mode_enabled()
            assert not encoder.training
            distance = encoder.embed(images).norm(dim=1).cpu().numpy()
        error = distance[-1] + start[0]
        return Outcome(
            metrics={"success": error < 0.5, "error": error},
            traces={"distance": distance},
            info={"start": start, "samples": np.int64(self.planner.samples)},
            frames=images.permute(0, 2, 3, 1).numpy() if cell.camera == "front" else None,
        )

    def _mark(self, name, line):
        if self.scratch is not None:
            with (Path(self.scratch) / name).open("a") as file:
                file.write(line + "\n")

    def _befall(self, cell):
        what = self.trouble.get(cell.task, "")
        if what.endswith("_once"):
            befallen = (Path(self.scratch) / cell.task).exists()
            self._mark(cell.task, what)
            what = "" if befallen else what.removesuffix("_once")
        if what == "sleep":
            time.sleep(0.3)
        if what == "raise":
            raise RuntimeError(f"{cell.task} broke")
        if what == "mend":
            raise UserError("no OpenGL to render with: install it")
        if what == "kill":
            os.kill(os.getpid(), 9)
