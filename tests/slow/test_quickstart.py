"""What the README promises of the quickstart, at its full length: about five minutes."""

import csv
from pathlib import Path

import numpy as np
import pytest

from vipl.cli import main
from vipl.control.opengl import choose_backend

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_training_orders_held_out_demonstrations(tmp_path):
    choose_backend()
    demos, run, curves = tmp_path / "demos", tmp_path / "run", tmp_path / "curves"
    assert (
        main(["demos", "render", "--out", str(demos), "--tasks", "sdoor_open", "--size", "128"])
        == 0
    )
    manifest = demos / "manifest.parquet"
    config = str(ROOT / "configs" / "fit" / "quickstart.yaml")
    assert main(["fit", "--config", config, f"data.manifest={manifest}", f"run_dir={run}"]) == 0
    encoders = [f"initial={run / 'encoder_initial'}", f"trained={run}"]
    flags = [part for encoder in encoders for part in ("--encoder", encoder)]
    assert main(["curves", str(manifest), *flags, "--out", str(curves)]) == 0
    with (curves / "table.csv").open() as file:
        rows = list(csv.DictReader(file))

    def mean(metric, encoder):
        return np.mean([float(row[metric]) for row in rows if row["encoder"] == encoder])

    trained = mean("value_order_correlation", "trained")
    assert trained > 0.8
    assert trained > mean("value_order_correlation", "initial") + 0.05
    assert mean("bumps", "trained") < mean("bumps", "initial") - 0.1
