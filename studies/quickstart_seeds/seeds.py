"""What the quickstart's encoder learns, over several seeds.

`python -m studies.quickstart_seeds.seeds` trains the quickstart's configuration once a seed,
compares each encoder with its own initialisation on the held-out demonstrations, and plans three
episodes with it, beside the true state and an untrained encoder. What is finished is kept, so it
can be stopped and called again. Its intervals are bootstrap intervals (95%, percentile) that draw
demonstrations, with all their cameras and seeds, since pictures of one demonstration are not
independent of each other.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from benchmarks.machine import machine

METRICS = ("value_order_correlation", "bumps")
FIT, EVAL = "configs/fit/quickstart.yaml", "configs/eval/quickstart.yaml"
TASK = "rdoor_close"


def vipl(*arguments: object) -> None:
    subprocess.run([sys.executable, "-m", "vipl.cli", *map(str, arguments)], check=True)


def measure(out: Path, seed: int) -> list[dict[str, str]]:
    """Return the rows of the table of one seed, training when it is not there yet."""
    manifest, run, curves = out / "demos/manifest.parquet", out / f"seed{seed}", out / f"c{seed}"
    if not (curves / "table.csv").is_file():
        more = [f"seed_everything={seed}", f"data.manifest={manifest}", f"run_dir={run}"]
        vipl("fit", "--config", FIT, *more, "overwrite=true")
        encoders = [f"initial={run / 'encoder_initial'}", f"trained={run / 'encoder'}"]
        flags = [part for encoder in encoders for part in ("--encoder", encoder)]
        vipl("curves", manifest, "--out", curves, *flags)
    with (curves / "table.csv").open() as file:
        return list(csv.DictReader(file))


def interval(values: dict[str, list[float]]) -> tuple[float, float, float]:
    """Return mean and 95% bootstrap interval of values grouped by demonstration."""
    groups = [np.mean(group) for group in values.values()]
    rng = np.random.default_rng(0)
    means = rng.choice(groups, (10_000, len(groups))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(np.mean(groups)), float(low), float(high)


def plan(out: Path, seed: int) -> dict[str, list[float]]:
    """Return the object's error at the end of each episode, by variant."""
    flags = ["--encoder", out / f"seed{seed}", "--out", out / "results", "--run-id", f"seed{seed}"]
    vipl("eval", "--config", EVAL, *flags, "seeds=[0,1,2]")
    file = next((out / "results").glob(f"frankakitchen-v*/seed{seed}/records.jsonl"))
    errors: dict[str, list[float]] = {}
    for record in map(json.loads, file.read_text().splitlines()):
        error = record["metrics"]["object_error"]
        errors.setdefault(record["variant"], []).append(round(error, 3))
    return errors


def compare(rows: list[dict[str, str]], metric: str, seeds: list[int]) -> dict[str, list[float]]:
    """Print and return a metric before and after training, over all seeds and by seed."""
    result = {}
    for encoder in ("initial", "trained"):
        grouped: dict[str, list[float]] = {}
        for row in rows:
            if row["encoder"] == encoder:
                demonstration = row["video"].rpartition("/")[0]
                grouped.setdefault(demonstration, []).append(float(row[metric]))
        mean, low, high = interval(grouped)
        print(f"{metric}, {encoder}: {mean:.3f} [{low:.3f}, {high:.3f}]")
        result[f"{metric}_{encoder}"] = [mean, low, high]
    for seed in seeds:
        means = []
        for encoder in ("initial", "trained"):
            of_seed = [r for r in rows if (r["encoder"], r["seed"]) == (encoder, str(seed))]
            means.append(float(np.mean([float(row[metric]) for row in of_seed])))
        print(f"  seed {seed}: {means[0]:.3f} -> {means[1]:.3f}")
        result[f"{metric}_seed{seed}"] = means
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("runs/quickstart_seeds"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    args = parser.parse_args()
    what = ("--tasks", TASK, "--cameras", "left_cam", "--size", 128)
    vipl("demos", "render", "--out", args.out / "demos", *what)
    rows = [{**row, "seed": str(seed)} for seed in args.seeds for row in measure(args.out, seed)]
    result: dict[str, object] = {"name": "quickstart_seeds", "n": len(rows) // 2}
    for metric in METRICS:
        result |= compare(rows, metric, args.seeds)
    for seed in args.seeds:
        errors = plan(args.out, seed)
        shown = ", ".join(f"{variant} {values}" for variant, values in sorted(errors.items()))
        print(f"object error at the end, seed {seed}: {shown}")
        result[f"object_error_seed{seed}"] = errors
    result["machine"] = machine()
    print(json.dumps(result))


if __name__ == "__main__":
    main()
