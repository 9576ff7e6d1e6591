"""What the README promises of the quickstart, at its full length: about seven minutes."""

import csv
import json

import numpy as np
import pytest

from tests import ROOT
from vipl.cli import main
from vipl.control.opengl import choose_backend

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    choose_backend()
    folder = tmp_path_factory.mktemp("quickstart")
    what = ["--tasks", "rdoor_close", "--cameras", "left_cam", "--size", "128"]
    assert main(["demos", "render", "--out", str(folder / "demos"), *what]) == 0
    manifest, run = folder / "demos" / "manifest.parquet", folder / "run"
    config = str(ROOT / "configs" / "fit" / "quickstart.yaml")
    assert main(["fit", "--config", config, f"data.manifest={manifest}", f"run_dir={run}"]) == 0
    return folder


def test_training_orders_held_out_demonstrations(trained):
    manifest, run, curves = trained / "demos/manifest.parquet", trained / "run", trained / "curves"
    encoders = [f"initial={run / 'encoder_initial'}", f"trained={run}"]
    flags = [part for encoder in encoders for part in ("--encoder", encoder)]
    assert main(["curves", str(manifest), *flags, "--out", str(curves)]) == 0
    with (curves / "table.csv").open() as file:
        rows = list(csv.DictReader(file))

    def mean(metric, encoder):
        return np.mean([float(row[metric]) for row in rows if row["encoder"] == encoder])

    correlation = mean("value_order_correlation", "trained")
    assert correlation > 0.85
    assert correlation > mean("value_order_correlation", "initial") + 0.05
    assert mean("bumps", "trained") < mean("bumps", "initial") - 0.1


def test_its_distance_moves_the_robot_to_the_goal(trained):
    config = str(ROOT / "configs" / "eval" / "quickstart.yaml")
    flags = ["--encoder", str(trained / "run"), "--out", str(trained), "--run-id", "it"]
    assert main(["eval", "--config", config, *flags]) == 0
    folder = trained / "frankakitchen-v1" / "it"
    lines = (folder / "records.jsonl").read_text().splitlines()
    records = {record["variant"]: record for record in map(json.loads, lines)}
    assert records["oracle"]["metrics"]["success"] == 1
    # Whether the door ends shut turns on the last digits of sums, and so on the machine.
    distance = records["main"]["traces"]["distance"]
    assert distance[-1] < 0.2 * distance[0]
    assert records["random"]["metrics"]["success"] == 0
    assert (folder / "report.html").stat().st_size > 50_000
