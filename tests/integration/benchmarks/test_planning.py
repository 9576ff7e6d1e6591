"""The planning benchmark: both ways do the same work, and its last line is JSON."""

import json
import subprocess
import sys

import numpy as np
import pytest

from tests import ROOT
from vipl.control.mppi import Planner

pytestmark = pytest.mark.usefixtures("opengl")


def test_both_ways_give_the_same_scores() -> None:
    """Another physics loop and another viewer, with our settings of the renderer."""
    from benchmarks.planning import PARTS, Clock, Released, Scene, score_ours

    scene = Scene(Planner(samples=2, horizon_steps=2), size=64, cores=1)
    released = Released(scene, as_shipped=False)
    ours, theirs = Clock(), Clock()
    scores = score_ours(scene, scene.plans, ours)
    assert scores[0] != pytest.approx(scores[1], rel=1e-2), "plans must differ to be compared"
    np.testing.assert_allclose(released.score(scene.plans, theirs), scores, rtol=1e-4)
    assert all(clock.seconds[part] > 0 for clock in (ours, theirs) for part in PARTS)
    released.close()
    scene.env.close()


@pytest.mark.slow
def test_the_last_line_is_the_result() -> None:
    options = ["--pairs", "1", "--samples", "2", "--horizon", "1", "--size", "32"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.planning", *options, "--pictures", "0"],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        cwd=ROOT,
    )
    lines = done.stdout.splitlines()
    assert "the released way ran 1 of the 2 plans, scaled up" in lines[0]
    result = json.loads(lines[-1])
    assert (result["name"], result["n"]) == ("planning", 1)
    assert result["ratio"] == pytest.approx(result["released_s"] / result["ours_s"])
    assert result["ratio"] > 5
    assert result["released_parts_s"]["render"] > result["ours_parts_s"]["render"]
    assert result["machine"]
