"""Planning by the visual reward alone, with encoders trained on the demonstrations of each task.

`python -m benchmarks.in_domain --tasks sdoor_open rdoor_close` renders a task's demonstrations
through one camera, trains configs/fit/quickstart.yaml on them, and plans with that encoder (hard
setting, 32 samples, three seeds), with the true state, and with an untrained encoder. `--together`
trains one encoder on all tasks instead. What is finished is kept, so it can be stopped and called
again. Intervals are those of `summary.json`: 95%, Wilson's where all episodes of a task end alike.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

TASKS = ("sdoor_open", "rdoor_close", "light_on", "light_off", "micro_close")
FIT, EVAL = "configs/fit/quickstart.yaml", "configs/eval/in_domain.yaml"
METRICS = ("success", "object_error")
VARIANTS = {"main": "trained", "oracle": "true state", "random": "untrained"}


def vipl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "vipl.cli", *map(str, arguments)], check=True)


def train(folder: Path, tasks: list[str], args: argparse.Namespace) -> Path:
    """Train an encoder on the demonstrations of some tasks; return its run's folder."""
    run, demos = folder / "run", folder / "demos"
    if not (run / "encoder").is_dir():
        vipl("demos", "render", "--out", demos, "--tasks", *tasks, "--cameras", args.camera,
             "--size", 128)  # fmt: skip
        vipl("fit", "--config", FIT, f"data.manifest={demos / 'manifest.parquet'}",
             f"run_dir={run}", "overwrite=true", f"trainer.precision={args.precision}",
             f"trainer.max_steps={args.steps * len(tasks)}",
             f"trainer.accelerator={'cpu' if args.device == 'cpu' else 'gpu'}")  # fmt: skip
    return run


def plan(folder: Path, run: Path, tasks: list[str], args: argparse.Namespace) -> dict[str, object]:
    """Plan with an encoder and its controls; return what `summary.json` says of them."""
    vipl("eval", "--config", EVAL, "--encoder", run, "--out", args.out / "results",
         "--run-id", folder.name, f"tasks=[{','.join(tasks)}]", f"cameras=[{args.camera}]",
         "--device", args.device, *(["--workers", args.workers] if args.workers else []),
         "controls=[oracle,random]")  # fmt: skip
    summary = next((args.out / "results").glob(f"frankakitchen-v*/{folder.name}/summary.json"))
    variants: dict[str, object] = json.loads(summary.read_text())["variants"]
    return variants


def in_words(label: str, cells: Any) -> str:
    success, error = cells["success"], cells["object_error"]
    solved = round(success["mean"] * success["n"])
    return f"{label} {solved}/{success['n']} (error {error['mean']:.1%} of the range)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/in_domain"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--camera", default="left_cam")
    parser.add_argument("--steps", type=int, default=600, help="of training, a task (600)")
    parser.add_argument("--precision", default="bf16-mixed", help="32-true on CPUs without bf16")
    parser.add_argument("--device", default="cpu", help="where encoders are trained and run (cpu)")
    parser.add_argument("--workers", type=int, help="processes that plan (as `vipl eval` chooses)")
    parser.add_argument("--together", action="store_true", help="one encoder for all tasks")
    args = parser.parse_args()
    groups = {"together": args.tasks} if args.together else {task: [task] for task in args.tasks}
    rows: dict[str, dict[str, object]] = {}
    for name, tasks in groups.items():
        folder = args.out / name
        variants = plan(folder, train(folder, tasks, args), tasks, args)
        for task in tasks:
            rows[task] = {
                label: {
                    metric: variants[variant]["metrics"][metric]["tasks"][task]  # type: ignore[index]
                    for metric in METRICS
                }
                for variant, label in VARIANTS.items()
            }
    for task, row in rows.items():
        print(f"{task}: {', '.join(in_words(label, cells) for label, cells in row.items())}")
    machine = f"{platform.machine()}, {os.cpu_count()} cores"
    print(json.dumps({"name": "in_domain", "tasks": rows, "machine": machine}))


if __name__ == "__main__":
    main()
