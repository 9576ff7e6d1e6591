"""Planning by the visual reward alone, with encoders trained on the demonstrations of each task.

`python -m benchmarks.in_domain` takes one task after the other, each through one camera: it renders
the task's demonstrations, trains configs/fit/quickstart.yaml on them, and plans with that encoder
(hard setting, 32 samples, three seeds), with the true state, and with an untrained encoder. A
task's camera, image size and steps are those below, unless they are given. `--together` trains one
encoder on all tasks instead, seen through all their cameras. What is finished is kept, so it can be
stopped and called again. Intervals are those of `summary.json`: 95%, Wilson's where all episodes of
a task end alike.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.machine import machine


class Setting(NamedTuple):
    """How a task is seen, and how long an encoder is trained on it.

    Attributes:
        camera: Of the suite.
        image_size: Of the encoder, in pixels.
        steps: Of training.
        least_crop: Least share of a frame's area that training takes: of a small object that must
            be seen to stop at the right place, little may be cut off.
    """

    camera: str = "left_cam"
    image_size: int = 96
    steps: int = 600
    least_crop: float = 0.8


SETTINGS = {
    "sdoor_open": Setting(steps=1200),
    "rdoor_close": Setting(),
    "sdoor_close": Setting("right_cam", steps=2000),
    "micro_close": Setting("default", image_size=128, steps=4000, least_crop=0.93),
}
RENDERED_SIZE = 128  # pixels, as in EVAL
FIT, EVAL = "configs/fit/quickstart.yaml", "configs/eval/in_domain.yaml"
METRICS = ("success", "object_error")
VARIANTS = {"main": "trained", "oracle": "true state", "random": "untrained"}


def vipl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "vipl.cli", *map(str, arguments)], check=True)


def train(folder: Path, settings: dict[str, Setting], args: argparse.Namespace) -> Path:
    """Train an encoder on tasks, each for its steps, through all their cameras; return its run."""
    run, demos = folder / "run", folder / "demos"
    if not (run / "encoder").is_dir():
        cameras, sizes, steps, crops = zip(*settings.values(), strict=True)
        vipl("demos", "render", "--out", demos, "--tasks", *settings,
             "--cameras", *sorted(set(cameras)), "--size", RENDERED_SIZE)  # fmt: skip
        vipl("fit", "--config", FIT, f"data.manifest={demos / 'manifest.parquet'}",
             f"run_dir={run}", "overwrite=true", f"trainer.precision={args.precision}",
             f"model.encoder.image_size={max(sizes)}", f"trainer.max_steps={sum(steps)}",
             f"data.crop_scale=[{max(crops)},1.0]",
             f"trainer.accelerator={'cpu' if args.device == 'cpu' else 'gpu'}")  # fmt: skip
    return run


def plan(name: str, run: Path, task: str, camera: str, args: argparse.Namespace) -> dict[str, Any]:
    """Plan with an encoder and its controls; return what `summary.json` says of them."""
    vipl("eval", "--config", EVAL, "--encoder", run, "--out", args.out / "results",
         "--run-id", name, f"tasks=[{task}]", f"cameras=[{camera}]", "--device", args.device,
         *(["--workers", args.workers] if args.workers else []),
         "controls=[oracle,random]")  # fmt: skip
    summary = next((args.out / "results").glob(f"frankakitchen-v*/{name}/summary.json"))
    variants: dict[str, Any] = json.loads(summary.read_text())["variants"]
    return variants


def in_words(label: str, cells: Any) -> str:
    success, error = cells["success"], cells["object_error"]
    solved = round(success["mean"] * success["n"])
    return f"{label} {solved}/{success['n']} (error {error['mean']:.1%} of the range)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/in_domain"))
    parser.add_argument("--tasks", nargs="+", default=list(SETTINGS))
    parser.add_argument("--camera", help="for all tasks (a task's own; left_cam)")
    parser.add_argument("--image-size", type=int, help="of the encoder (a task's own; 96)")
    parser.add_argument("--steps", type=int, help="of training, a task (a task's own; 600)")
    parser.add_argument("--least-crop", type=float, help="of training (a task's own; 0.8)")
    parser.add_argument("--precision", default="bf16-mixed", help="32-true on CPUs without bf16")
    parser.add_argument("--device", default="cpu", help="where encoders are trained and run (cpu)")
    parser.add_argument("--workers", type=int, help="processes that plan (as `vipl eval` chooses)")
    parser.add_argument("--together", action="store_true", help="one encoder for all tasks")
    args = parser.parse_args()
    given = {name: getattr(args, name) for name in Setting._fields}
    given = {name: value for name, value in given.items() if value is not None}
    own = {task: SETTINGS.get(task, Setting()) for task in args.tasks}
    if args.together:
        own = {task: Setting(setting.camera) for task, setting in own.items()}
    settings = {task: setting._replace(**given) for task, setting in own.items()}
    rows: dict[str, dict[str, Any]] = {}
    for task, setting in settings.items():
        name = f"{task}-{setting.camera}"
        if args.together:
            run, name = train(args.out / "together", settings, args), f"together-{name}"
        else:
            run = train(args.out / name, {task: setting}, args)
        variants = plan(name, run, task, setting.camera, args)
        rows[name] = {
            label: {
                metric: variants[variant]["metrics"][metric]["tasks"][task] for metric in METRICS
            }
            for variant, label in VARIANTS.items()
        }
    for task, row in rows.items():
        print(f"{task}: {', '.join(in_words(label, cells) for label, cells in row.items())}")
    print(json.dumps({"name": "in_domain", "tasks": rows, "machine": machine()}))


if __name__ == "__main__":
    main()
