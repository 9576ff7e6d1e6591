"""The benchmarks of the data path run, at a small size, and say what they promise."""

import json
import subprocess
import sys

import pytest
from benchmarks import memory

from tests import ROOT


def run(name, *more):
    """Return the JSON line of `python -m benchmarks.NAME`."""
    command = [sys.executable, "-m", f"benchmarks.{name}", *map(str, more)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_formats_against_the_released_way():
    settings = ["--clips", 3, "--length", 1, "--seconds", 0.3, "--rounds", 1, "--workers", 1]
    line = run("data", *settings)
    assert line["name"] == "data"
    assert {"released", "jpeg", "h264, decord", "h264_intra, pyav, dense"} <= set(line["ways"])
    assert all(way["clips_per_s"] > 0 for way in line["ways"].values())
    ours, released = line["ways"]["jpeg"], line["ways"]["released"]
    assert line["ratio"] == pytest.approx(ours["clips_per_s"] / released["clips_per_s"], rel=0.01)
    # One JPEG a frame and the same JPEGs packed take the same space, but for a table of places.
    assert ours["bytes"] == pytest.approx(released["bytes"], rel=0.05)
    assert line["h264_bytes"] < 0.5


@pytest.mark.slow
def test_manifests_of_several_lengths(tiny_manifest):
    line = run("rows", "--manifest", tiny_manifest, "--rows", 10, 300, "--rounds", 1,
               "--seconds", 0.3, "--workers", 1)  # fmt: skip
    assert set(line["rows"]) == {"10", "300"}
    for figures in line["rows"].values():
        assert figures["start_s"] > 0
        assert figures["clips_per_s"] > 0
        assert figures["memory_mib"] > 100


@pytest.mark.slow
def test_memory_of_all_processes(tiny_manifest):
    means = memory.measure(tiny_manifest, clips=2000, workers=1)
    assert len(means) == 2
    assert all(50 * 2**20 < mean < 4 * 2**30 for mean in means)


@pytest.mark.slow
def test_what_pretraining_costs():
    line = run("costs", "--number", 2, "--steps", 1, "--networks", "quickstart")
    assert (line["clips"], line["frames"]) == (2, 200)  # of 300 frames, every third
    jpeg, h264 = line["prepare"]["jpeg"], line["prepare"]["h264"]
    assert h264["bytes"] < jpeg["bytes"] < 500_000
    assert line["ego4d"]["prepare_gb"]["jpeg"] == pytest.approx(4.3e6 * jpeg["bytes"] / 1e9)
    days = line["ego4d"]["training_core_days"]["quickstart"]
    assert days == pytest.approx(2e6 * 128 / line["images_per_core_s"]["quickstart"] / 86400)
