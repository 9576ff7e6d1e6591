"""`vipl bench step` and `vipl bench data`: what bounds a run, and what would move it."""

import argparse
import resource

from pytorch_lightning.utilities import rank_zero_only

from vipl.console import say
from vipl.errors import UserError
from vipl.processes.allocator import keep_freed_memory
from vipl.training.bench.data import DataTimes, time_data
from vipl.training.bench.run import BenchCLI
from vipl.training.bench.step_timer import Repeated, StepTimes
from vipl.training.bench.verdict import verdict
from vipl.training.fit_config import composing
from vipl.training.telling import hush


def run_step(args: argparse.Namespace) -> None:
    """Measure the training step of a configuration, and say what bounds a run."""
    cli = _build(args)
    step, data, together = _measure(cli, args)
    _print(describe_step(cli, step))
    _print([verdict(step, data, together)])


def run_data(args: argparse.Namespace) -> None:
    """Measure the data path of a configuration, and say what bounds a run."""
    cli = _build(args)
    step, data, together = _measure(cli, args)
    _print(describe_data(data))
    _print([verdict(step, data, together)])


def _build(args: argparse.Namespace) -> BenchCLI:
    if not args.config:
        raise UserError("which run? name one: vipl bench step --config folder")
    for name in ("steps", "warmup", "seconds"):
        if not getattr(args, name) > 0:
            raise UserError(f"--{name} is {getattr(args, name)}, expected more than 0")
    hush()
    cli = BenchCLI(composing(args.config, args.overrides))
    cli.build()
    if cli.trainer.strategy.root_device.type == "cpu":
        keep_freed_memory()
    return cli


def _measure(cli: BenchCLI, args: argparse.Namespace) -> tuple[StepTimes, DataTimes, StepTimes]:
    """Measure the step without data, data without the step, and both together."""
    loader = cli.loader()
    batch = next(iter(loader))
    if not batch.frames.numel():
        last = batch.failures[-1]
        raise UserError(
            f"no clip of {cli.config.data.manifest} can be read; the last, {last.path}: "
            f"{last.reason}"
        )
    data = time_data(loader, seconds=args.seconds)
    if cli.trainer.strategy.root_device.type == "cuda":
        batch = batch._replace(frames=batch.frames.pin_memory(), times=batch.times.pin_memory())
    step = cli.time_steps(Repeated(batch), warmup=args.warmup, steps=args.steps)
    together = cli.time_steps(loader, warmup=args.warmup, steps=args.steps)
    return step, data, together


def describe_step(cli: BenchCLI, step: StepTimes) -> list[str]:
    """Return lines on a step: speed, parts, memory."""
    config, processes = cli.model.encoder.config, cli.trainer.world_size
    compiled = ", compiled" if cli.config.model.compile else ""
    where = f"{processes} x " if processes > 1 else ""
    if step.peak_bytes is None:
        peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        memory = f"{peak_kib / 2**20:.1f} GiB of memory at most"
    else:
        memory = f"{step.peak_bytes / 2**30:.1f} GiB of GPU memory at most"
    lines = [
        f"{config['backbone']} at {config['image_size']} px, {cli.trainer.precision}{compiled}, "
        f"{where}{cli.trainer.strategy.root_device.type}; {processes * step.clips} clips, "
        f"{processes * step.images} images a step",
        f"{processes * step.images / step.step_s:.0f} images/s, "
        f"{processes * step.clips / step.step_s:.1f} clips/s, "
        f"{1000 * step.step_s:.1f} ms a step, {memory}",
    ]
    for part, seconds in step.parts_s.items():
        lines.append(f"  {part:<10} {1000 * seconds:9.1f} ms {seconds / step.step_s:6.1%}")
    return lines


def describe_data(data: DataTimes) -> list[str]:
    """Return lines on the data path: speed, and the parts of a worker's time."""
    lines = [
        f"{data.clips_per_s:.1f} clips/s, {data.images_per_s:.0f} images/s with "
        f"data.num_workers={data.workers}; one process alone takes {1000 * data.clip_s:.1f} ms "
        "a clip",
    ]
    for part, seconds in data.parts_s.items():
        lines.append(f"  {part:<10} {1000 * seconds:9.1f} ms {seconds / data.clip_s:6.1%}")
    if data.failures:
        lines.append(f"  {data.failures} clips could not be read")
    return lines


@rank_zero_only
def _print(lines: list[str]) -> None:
    say(*lines, flush=True)
