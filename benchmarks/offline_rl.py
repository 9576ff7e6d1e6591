"""Does weighting by rewards help? Offline RL against imitation, on trajectories of mixed quality.

`python -m benchmarks.offline_rl --encoder oracle` trains policies that see the true state, on
twenty trajectories of each of three kitchen tasks, with weights by the true reward and without,
three seeds each (configs/eval/offline_rl.yaml). `--encoder runs/my_run` does so with what an
encoder sees and its reward; `--tasks` names others. What is finished is kept, so it can be stopped
and called again.

`gain` is the mean over tasks and seeds of the share of episodes that end solved, by offline RL
minus by imitation; its interval is a bootstrap interval (95%, percentile) that draws seeds within
tasks.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.machine import machine

CONFIG = "configs/eval/offline_rl.yaml"
TASKS = ("rdoor_close", "micro_open", "knob1_on")
PROTOCOLS = ("imitation", "offline_rl")


def run(protocol: str, args: argparse.Namespace) -> dict[tuple[str, int, str], float]:
    """Return the success of every cell: task, seed and variant."""
    name = f"{args.name or Path(args.encoder).name}-{protocol}"
    options = ["--encoder", args.encoder, "--out", args.out, "--run-id", name]
    changes = [f"protocol={protocol}", f"tasks=[{','.join(args.tasks)}]", *args.changes]
    changes += ["controls=[random]"] if args.untrained else ["controls=[]"]
    command = [sys.executable, "-m", "vipl.cli", "eval", "--config", CONFIG, *options, *changes]
    subprocess.run(list(map(str, command)), check=True)
    file = next(Path(args.out).glob(f"frankakitchen-v*/{name}/records.jsonl"))
    records: list[dict[str, Any]] = [json.loads(line) for line in file.read_text().splitlines()]
    return {(r["task"], r["seed"], r["variant"]): r["metrics"]["success"] for r in records}


def interval(differences: dict[str, list[float]]) -> tuple[float, float, float]:
    """Return the mean over tasks, with its interval, of differences by task and seed."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(values, (10_000, len(values))).mean(1) for values in differences.values()]
    low, high = np.percentile(np.mean(drawn, axis=0), [2.5, 97.5])
    return float(np.mean([np.mean(v) for v in differences.values()])), float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="oracle")
    parser.add_argument("--name", help="of the results (the encoder's)")
    parser.add_argument("--tasks", nargs="+", default=TASKS)
    parser.add_argument("--untrained", action="store_true", help="run an untrained encoder as well")
    parser.add_argument("--out", default="runs/offline_rl")
    parser.add_argument("changes", nargs="*", help="keys of the configuration, KEY=VALUE")
    args = parser.parse_args()
    cells = {protocol: run(protocol, args) for protocol in PROTOCOLS}
    line: dict[str, Any] = {"name": "offline_rl", "encoder": args.encoder}
    for variant in sorted({key[2] for key in cells["offline_rl"]}):
        differences: dict[str, list[float]] = {}
        for task in args.tasks:
            keys = [key for key in cells["offline_rl"] if (key[0], key[2]) == (task, variant)]
            by = {name: [found[key] for key in sorted(keys)] for name, found in cells.items()}
            pairs = zip(by["offline_rl"], by["imitation"], strict=True)
            differences[task] = [a - b for a, b in pairs]
            print(f"{variant}, {task}: " + ", ".join(f"{n} {v}" for n, v in by.items()))
            line[f"{variant}_{task}"] = by
        mean, low, high = interval(differences)
        print(f"{variant}: gain {mean:+.3f} [{low:+.3f}, {high:+.3f}]")
        line[f"{variant}_gain"] = [round(value, 3) for value in (mean, low, high)]
    print(json.dumps({**line, "machine": machine()}))


if __name__ == "__main__":
    main()
