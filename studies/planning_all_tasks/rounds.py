"""Rounds of clips, a training and planned episodes, for tasks of the kitchen through one camera."""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vipl.config.composing import compose
from vipl.evaluation.reports.statistics import latest
from vipl.evaluation.results import RECORDS_FILE, Record, read_records
from vipl_evaluators.frankakitchen.tasks import TASKS

FIT, EVAL = "configs/fit/in_domain.yaml", "configs/eval/in_domain.yaml"
LATER_RATE = "model.optimizer.init_args.lr=1.0e-3"  # of rounds that train on
OWN_SEEDS = 1000  # of the episodes that rounds plan for what they visit, and from there on
OWN_EPISODES = 2  # of a round


class Scope(NamedTuple):
    """What an encoder is trained for.

    Attributes:
        tasks: Of the suite frankakitchen.
        camera: Of the suite.
    """

    tasks: tuple[str, ...]
    camera: str

    @property
    def which(self) -> str:
        """Its tasks, as a part of names."""
        return "all" if len(self.tasks) == len(TASKS) else "-".join(self.tasks)

    @property
    def name(self) -> str:
        """Of its folders."""
        return f"{self.which}-{self.camera}"


def vipl(log: Path, *arguments: object) -> None:
    """Run a command of vipl, and say where what it printed is if it fails."""
    command = [sys.executable, "-m", "vipl.cli", *map(str, arguments)]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as stream:
        stream.write(f"\n$ {' '.join(command[2:])}\n")
        stream.flush()
        done = subprocess.run(command, stdout=stream, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise SystemExit(f"a command failed with status {done.returncode}: see the end of {log}")


def look() -> tuple[object, ...]:
    """Return the options with which `vipl demos render` draws what EVAL will plan in."""
    config = compose([EVAL], [])
    return "--size", config["image_size"], "--mesh-grid-m", config["mesh_grid_m"]


class Round:
    """The clips, the encoder and the planned episodes of a scope, each of which is made once.

    Args:
        scope: Of its encoder.
        args: Of the command line.
        before: The round before, where the planner went astray.
        training: Of several first ones on the same clips: its seed. Later rounds go on from one.
    """

    def __init__(
        self,
        scope: Scope,
        args: argparse.Namespace,
        before: "Round | None" = None,
        training: int = 0,
    ) -> None:
        self.number: int = before.number + 1 if before else 0
        self.scope = scope
        self.args = args
        self.before = before
        self.training: int = before.training if before else training
        self.folder: Path = args.out / f"round{self.number}"
        self.planned: Path | None = None
        """Of `vipl eval`, the last."""
        self.astray = scope.tasks
        """Tasks for which another round has more clips: it failed in an episode of its own."""
        self.score = (0.0, 0.0)
        """Of its own episodes: the share that is solved, and less the mean object error."""

    @property
    def name(self) -> str:
        """Of its training, and of the clips that a round adds for it."""
        return self.scope.name + self.which_training

    @property
    def which_training(self) -> str:
        """Its training, as a part of names."""
        return f"-training{self.training}" if self.training else ""

    @property
    def run(self) -> Path:
        """Folder of its training."""
        return self.folder / "runs" / self.name

    @property
    def base(self) -> "Round | None":
        """The round whose clips are added to, and whose encoder is trained on; None: neither."""
        return self.before if self.args.accumulate else None

    @property
    def states(self) -> Path:
        """Folder of the clips as states: at first, cameras share them."""
        return self.folder / "states" / (self.name if self.before else self.scope.which)

    @property
    def clips(self) -> Path:
        """Folder of the clips as the camera sees them: first trainings share them."""
        return self.folder / "clips" / (self.name if self.before else self.scope.name)

    def make(self) -> None:
        """Make the clips and the encoder, if they are not there."""
        self.generate()
        self.train()

    def generate(self) -> None:
        """Make the clips, as states."""
        if (self.states / "index.json").is_file():
            return
        tasks, number = self.scope.tasks, self.args.clips
        more: list[object] = []
        if self.before is not None:
            more += ["--visited", self.before.planned, "--seed", self.number]
        if self.base is not None:
            shutil.copytree(self.base.states, self.states, dirs_exist_ok=True)
            (self.states / "index.json").unlink()  # it is written last
            more += ["--first", number + (self.number - 1) * self.args.new_clips]
            tasks, number = self.base.astray, self.args.new_clips
        vipl(self.folder / "logs" / f"{self.states.name}.txt", "demos", "generate",
             "--quality", "anywhere", "--number", number, "--tasks", *tasks,
             "--far", self.args.far, "--out", self.states, "--workers", 1, *more)  # fmt: skip

    def train(self) -> None:
        """Render the clips as the camera sees them, and train an encoder on them."""
        done = self.run / "spent.txt"  # the encoder is there from the first validation on
        if done.is_file():
            return
        log, start = self.folder / "logs" / f"{self.name}.txt", time.perf_counter()
        own_keys = [f"seed_everything={self.training}"] if self.training else []
        if self.base is not None:
            shutil.copytree(self.base.clips, self.clips, dirs_exist_ok=True)
            steps = self.args.more_steps
            own_keys = [
                f"model.weights={self.base.run}",
                f"trainer.max_steps={steps}",
                f"trainer.val_check_interval={steps}",
                LATER_RATE,
            ]
        vipl(log, "demos", "render", "--folder", self.states, "--with-shipped",
             "--tasks", *self.scope.tasks, "--cameras", self.scope.camera, *look(),
             "--workers", 1, "--out", self.clips)  # fmt: skip
        rendered = time.perf_counter()
        vipl(log, "fit", "--config", FIT, f"data.manifest={self.clips / 'manifest.parquet'}",
             f"run_dir={self.run}", "threads=1", "data.num_workers=1", "ckpt_path=last",
             *self.args.key, *own_keys)  # fmt: skip
        spent = (
            f"drawn in {rendered - start:.0f} s, trained in {time.perf_counter() - rendered:.0f} s"
        )
        done.write_text(f"{spent}\n")
        print(f"round {self.number} {self.name}: {spent}", flush=True)

    def plan(self, seeds: Sequence[int], controls: Sequence[str] = ()) -> list[Record]:
        """Plan the episodes that have not been planned; return the records of all."""
        args, scope, numbers = self.args, self.scope, [str(seed) for seed in seeds]
        name = (
            f"round{self.number}-{scope.camera}-{scope.which}{self.which_training}"
            f"-seeds-{'-'.join(numbers)}-samples-{args.samples}"
        )
        vipl(self.folder / "logs" / f"{name}.txt", "eval", "--config", EVAL,
             "--encoder", self.run, "--out", args.out / "results",
             "--run-id", name, f"tasks=[{','.join(scope.tasks)}]", f"cameras=[{scope.camera}]",
             f"seeds=[{','.join(numbers)}]", f"controls=[{','.join(controls)}]",
             f"trajopt.samples={args.samples}", *([f"steps={args.steps}"] if args.steps else []),
             "--workers", 1)  # fmt: skip
        self.planned = next((args.out / "results").glob(f"frankakitchen-v*/{name}"))
        return latest(read_records(self.planned / RECORDS_FILE)[0])

    def judge(self) -> None:
        """Plan episodes of its own, and note how it does in them: `astray` and `score`."""
        first = OWN_SEEDS + self.number * OWN_EPISODES
        own = self.plan(range(first, first + OWN_EPISODES))
        failed = {record.task for record in own if not record.metrics["success"]}
        self.astray = tuple(task for task in self.scope.tasks if task in failed)
        solved, error = (
            float(np.mean([record.metrics[name] for record in own]))
            for name in ("success", "object_error")
        )
        self.score = (solved, -error)


def plan_rounds(scope: Scope, args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of each round."""
    current, records = None, {}
    for number in range(args.rounds + 1):
        current = Round(scope, args, current)
        current.make()
        records[f"round {number}"] = current.plan(args.seeds, args.controls)
    return records


def attempts(scope: Scope, args: argparse.Namespace, made: Sequence[Round]) -> Iterator[Round]:
    """Yield the trainings to choose among, then rounds that go on from the best of those made.

    Args:
        scope: Of the encoders.
        args: Of the command line.
        made: What has been yielded and judged; it grows meanwhile.
    """
    for training in range(args.choose or 1):
        yield Round(scope, args, training=training)
    current = best(made)
    for _ in range(args.rounds):
        current = Round(scope, args, current)
        yield current


def best(made: Sequence[Round]) -> Round:
    """Return the round, or training, that does best in episodes of its own."""
    return max(made, key=lambda one: one.score)


def accumulate(scope: Scope, args: argparse.Namespace) -> dict[str, list[Record]]:
    """Return the records of the last encoder, or of the one that is chosen."""
    made: list[Round] = []
    for current in attempts(scope, args, made):
        current.make()
        made.append(current)
        if args.choose or current.number < args.rounds:
            current.judge()
            if not current.astray:
                break
    measured = best(made) if args.choose else made[-1]
    print(f"{measured.name}: {measured.number} rounds, {len(made)} encoders made", flush=True)
    return {f"up to {args.rounds} rounds": measured.plan(args.seeds, args.controls)}
