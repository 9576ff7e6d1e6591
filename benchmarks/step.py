"""A training step: ours, by several settings, against the released way.

`python -m benchmarks.step` takes the same random uint8 frames (the paper's tuples, B x 4 x 3 x S x
S) from memory, so that data costs nothing, and trains on them in turn, several times over:

- released: written anew from its description, see `benchmarks/released_step.py`; its images lie on
  the device as floats before the clock starts;
- ours: `VIPModule` under Lightning's trainer, as `vipl fit` runs it, the frames coming from the
  host at every step as uint8; in float32 or bfloat16, with and without torch.compile.

Each way lives in a process of its own, with its own caches and global settings; only one of them
works at a time. `ratio` is the released way's time over that of our best setting, for the first
batch size; `cpu_ratio` is the same of processor time, which other programs on the machine disturb
less. On a CPU every way has `--threads` threads, one by default: oneDNN's gradients of bfloat16
convolutions make threads wait in a loop for each other, which costs ten times the step as soon as
another program has one of the cores.
"""

import argparse
import itertools
import json
import logging
import os
import statistics
import tempfile
import warnings
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers import CSVLogger
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.machine import machine
from benchmarks.released_step import ReleasedStep
from vipl.data.loading.samples import Batch
from vipl.models import Encoder
from vipl.processes.allocator import keep_freed_memory
from vipl.training.bench.kernels import KernelProfile, KernelProfiler, SyncCounter
from vipl.training.bench.step_timer import PARTS, Repeated, StepTimer
from vipl.training.callbacks import Throughput
from vipl.training.module import VIPModule

TUPLE = 4
RELEASED = "released"
WAYS = ("float32", "float32-compiled", "bfloat16", "bfloat16-compiled")


class Task(NamedTuple):
    """What a process trains."""

    way: str
    backbone: str
    image_size: int
    output_dim: int
    device: str
    threads: int


class Request(NamedTuple):
    """Steps that a process is asked for."""

    clips: int
    warmup: int
    steps: int
    profile: bool = False


class Answer(NamedTuple):
    """What they took."""

    step_s: float
    cpu_s: float
    peak_bytes: int | None
    parts_s: dict[str, float]
    kernels: KernelProfile | None = None
    waits: tuple[str, ...] = ()


class TheirStep:
    """The released way."""

    def __init__(self, task: Task) -> None:
        self.step = ReleasedStep(task.backbone, output_dim=task.output_dim, device=task.device)

    def run(self, frames: torch.Tensor, request: Request) -> Answer:
        """Take steps on uint8 [B, 4, 3, S, S]."""
        return Answer(*self.step.run(frames, warmup=request.warmup, steps=request.steps), {})


class OurStep:
    """`VIPModule` under Lightning's trainer."""

    def __init__(self, task: Task) -> None:
        precision, _, compiled = task.way.partition("-")
        self.precision: Any = {"float32": "32-true", "bfloat16": "bf16-mixed"}[precision]
        self.device = task.device
        encoder = Encoder(task.backbone, output_dim=task.output_dim, image_size=task.image_size)
        self.module = VIPModule(encoder, compile=bool(compiled))
        if task.device == "cpu":  # as `vipl fit` does
            keep_freed_memory()

    def run(self, frames: torch.Tensor, request: Request) -> Answer:
        """Take steps on uint8 [B, 4, 3, S, S]."""
        times = torch.arange(TUPLE).repeat(len(frames), 1)
        if self.device == "cuda":  # as the data module's loader does
            frames, times = frames.pin_memory(), times.pin_memory()
        batch = Batch(frames, times, [])
        timer = StepTimer(warmup=request.warmup, steps=request.steps)
        self._fit(batch, [timer, Throughput()])
        result = timer.result()
        answer = Answer(result.step_s, result.cpu_s, result.peak_bytes, result.parts_s)
        if not request.profile:
            return answer
        profiler, counter = KernelProfiler(warmup=2, steps=5), SyncCounter(warmup=2, steps=5)
        self._fit(batch, [profiler])
        self._fit(batch, [counter])
        return answer._replace(kernels=profiler.result(), waits=counter.result())

    def _fit(self, batch: Batch, callbacks: list[Callback]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            trainer = pl.Trainer(
                accelerator="gpu" if self.device == "cuda" else "cpu",
                devices=1,
                precision=self.precision,
                max_epochs=-1,
                callbacks=callbacks,
                logger=CSVLogger(folder),
                log_every_n_steps=10,
                benchmark=True,
                enable_checkpointing=False,
                enable_model_summary=False,
                enable_progress_bar=False,
            )
            trainer.fit(self.module, Repeated(batch))


def serve(task: Task, connection: Connection) -> None:
    """Answer requests until None comes."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(task.threads)
    torch.manual_seed(0)
    way = TheirStep(task) if task.way == RELEASED else OurStep(task)
    clips = 0
    while (request := connection.recv()) is not None:
        if request.clips != clips:  # a compiler would otherwise try to serve both sizes
            torch._dynamo.reset()
            clips = request.clips
        generator = torch.Generator().manual_seed(0)
        shape = (clips, TUPLE, 3, task.image_size, task.image_size)
        frames = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
        answer = way.run(frames, request)
        if task.device == "cuda":
            torch.cuda.empty_cache()
        connection.send(answer)


class Way:
    """A process that trains one way."""

    def __init__(self, task: Task) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(task, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, request: Request) -> Answer:
        """Have it train, and wait."""
        self.connection.send(request)
        answer = self.connection.recv()
        assert isinstance(answer, Answer)
        return answer

    def close(self) -> None:
        """End the process."""
        self.connection.send(None)
        self.process.join()


def flops_per_image(task: Task) -> float:
    """Return the operations of forward and backward on an image; a multiply-add counts as two."""
    encoder = Encoder(task.backbone, output_dim=task.output_dim, image_size=task.image_size)
    images = torch.zeros(2, 3, task.image_size, task.image_size, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        encoder(images).sum().backward()
    return counter.get_total_flops() / 2


def matmul_flops(device: str) -> float:
    """Return the operations per second of a large bfloat16 matrix product, median of ten."""
    left, right = torch.randn(2, 8192, 8192, device=device, dtype=torch.bfloat16)
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(14)]
    for mark in marks:
        left @ right
        mark.record()
    torch.cuda.synchronize()
    times = [first.elapsed_time(second) for first, second in itertools.pairwise(marks[3:])]
    return float(2 * 8192**3 / (statistics.median(times) / 1000))


def compare(ways: dict[str, Way], clips: int, args: argparse.Namespace) -> dict[str, Any]:
    """Return medians over the rounds for one batch size."""
    request = Request(clips, warmup=args.warmup, steps=args.steps)
    answers: dict[str, list[Answer]] = {name: [] for name in ways}
    for _ in range(args.pairs):
        for name, way in ways.items():
            answers[name].append(way.ask(request))
    rows = {}
    for name, given in answers.items():
        both = list(zip(answers[RELEASED], given, strict=True))
        step_s = statistics.median(answer.step_s for answer in given)
        peak = given[-1].peak_bytes
        rows[name] = {
            "step_ms": 1000 * step_s,
            "images_per_s": clips * TUPLE / step_s,
            "ratio": statistics.median(released.step_s / ours.step_s for released, ours in both),
            "cpu_ms": 1000 * statistics.median(answer.cpu_s for answer in given),
            "cpu_ratio": statistics.median(released.cpu_s / ours.cpu_s for released, ours in both),
            "peak_gib": None if peak is None else peak / 2**30,
            "parts": {
                part: statistics.median(answer.parts_s[part] / answer.step_s for answer in given)
                for part in (PARTS if given[0].parts_s else ())
            },
        }
    # On a CPU, processor time tells best which setting is best: others may use the machine.
    key = "ratio" if args.device == "cuda" else "cpu_ratio"
    best = max((name for name in ways if name != RELEASED), key=lambda name: rows[name][key])
    return {"clips": clips, "best": best, "ratio": rows[best]["ratio"], "ways": rows}


def print_size(size: dict[str, Any]) -> None:
    print(f"{size['clips']} clips, {size['clips'] * TUPLE} images a step:")
    for name, row in size["ways"].items():
        memory = "" if row["peak_gib"] is None else f", {row['peak_gib']:.1f} GiB"
        shares = ", ".join(f"{part} {share:.1%}" for part, share in row["parts"].items())
        print(
            f"  {name}: {row['step_ms']:.1f} ms, {row['images_per_s']:.0f} images/s, ratio "
            f"{row['ratio']:.2f} (processor time {row['cpu_ms']:.0f} ms, {row['cpu_ratio']:.2f})"
            f"{memory}{f'; {shares}' if shares else ''}",
            flush=True,
        )


def print_kernels(kernels: KernelProfile, name: str, clips: int) -> None:
    print(
        f"{name}, {clips} clips, profiled: {1000 * kernels.step_s:.1f} ms a step, "
        f"{kernels.launches:.0f} kernels"
    )
    for kind, seconds in kernels.kinds_s.items():
        print(f"  {1000 * seconds:8.2f} ms {seconds / kernels.step_s:6.1%}  {kind}")
    print("  most of it:")
    for kernel, seconds in kernels.kernels_s.items():
        print(f"  {1000 * seconds:8.2f} ms {seconds / kernels.step_s:6.1%}  {kernel[:110]}")


def look_into(way: Way, size: dict[str, Any]) -> None:
    """Print what the GPU spends our best step on, and where the host waits for it."""
    answer = way.ask(Request(size["clips"], warmup=1, steps=1, profile=True))
    assert answer.kernels is not None
    size["kinds_s"] = answer.kernels.kinds_s
    print_kernels(answer.kernels, size["best"], size["clips"])
    size["waits"] = len(answer.waits)
    print(f"  the host waited for the GPU {len(answer.waits)} times in 5 steps")
    for place in sorted(set(answer.waits)):
        print(f"    {place}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--backbone", help="timm's name (resnet10t; on a GPU resnet50)")
    parser.add_argument("--image-size", type=int, help="in pixels (96; on a GPU 224)")
    parser.add_argument("--output-dim", type=int, default=1024)
    parser.add_argument("--clips", type=int, nargs="+", help="batch sizes (8; on a GPU 32 64 128)")
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="our settings to try (all)")
    parser.add_argument("--pairs", type=int, help="rounds, all ways in turn (5; on a GPU 3)")
    parser.add_argument("--steps", type=int, help="of a round (4; on a GPU 20)")
    parser.add_argument("--warmup", type=int, help="steps before (1; on a GPU 5)")
    parser.add_argument("--threads", type=int, default=1, help="of every way (1)")
    parser.add_argument("--no-profile", action="store_true", help="no kernel tables on a GPU")
    args = parser.parse_args()
    gpu = args.device == "cuda"
    defaults = {
        "backbone": "resnet50" if gpu else "resnet10t",
        "image_size": 224 if gpu else 96,
        "clips": [32, 64, 128] if gpu else [8],
        "ways": list(WAYS),
        "pairs": 3 if gpu else 5,
        "steps": 20 if gpu else 4,
        "warmup": 5 if gpu else 1,
    }
    for name, value in defaults.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    return args


def main() -> None:
    args = parse_arguments()
    gpu = args.device == "cuda"
    print(
        f"{args.backbone} at {args.image_size} px on {machine()}, {args.threads} thread(s), torch "
        f"{torch.__version__}, {args.pairs} rounds of {args.steps} steps",
        flush=True,
    )
    shared = (args.backbone, args.image_size, args.output_dim, args.device, args.threads)
    tasks = {way: Task(way, *shared) for way in (RELEASED, *args.ways)}
    flops = flops_per_image(tasks[RELEASED])
    limit = matmul_flops(args.device) if gpu else None
    ways = {name: Way(task) for name, task in tasks.items()}
    sizes = []
    for clips in args.clips:
        size = compare(ways, clips, args)
        print_size(size)
        best = size["best"]
        size["tflops"] = flops * size["ways"][best]["images_per_s"] / 1e12
        if limit is not None:
            size["share_of_limit"] = 1e12 * size["tflops"] / limit
            print(
                f"  {best}: {size['tflops']:.0f} TFLOP/s, {size['share_of_limit']:.1%} of the "
                f"{limit / 1e12:.0f} that a large bfloat16 matrix product reaches here"
            )
        if gpu and not args.no_profile:
            look_into(ways[best], size)
        sizes.append(size)
    for way in ways.values():
        way.close()
    first = sizes[0]
    rows = first["ways"]
    result = {
        "name": "step",
        "ratio": first["ratio"],
        "cpu_ratio": rows[first["best"]]["cpu_ratio"],
        "best": first["best"],
        "released_s": rows[RELEASED]["step_ms"] / 1000,
        "ours_s": rows[first["best"]]["step_ms"] / 1000,
        "n": args.pairs,
        "backbone": args.backbone,
        "image_size": args.image_size,
        "threads": args.threads,
        "limit_tflops": None if limit is None else limit / 1e12,
        "sizes": sizes,
        "machine": machine(),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
