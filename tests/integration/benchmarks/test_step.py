"""The benchmark of the step: both ways compute the same loss, and its last line is JSON."""

import json
import subprocess
import sys

import pytest
import torch

from tests import ROOT
from vipl.objectives import embedding_norms, paper_terms


def test_both_ways_compute_the_same_loss() -> None:
    from benchmarks.released_step import NEGATIVES, NORM_WEIGHT, ReleasedStep

    released = ReleasedStep("mobilenetv3_small_050", output_dim=8, device="cpu")
    embeddings = torch.randn(5, 4, 8)
    torch.manual_seed(1)
    theirs = released.value_loss(*embeddings.unbind(1)) + released.norms(embeddings)
    torch.manual_seed(1)
    permutations = torch.stack([torch.randperm(5) for _ in range(NEGATIVES)])
    ours = paper_terms(embeddings, permutations=permutations).loss
    ours = ours + NORM_WEIGHT * sum(embedding_norms(embeddings))
    torch.testing.assert_close(theirs, ours)


@pytest.mark.slow
def test_the_last_line_is_the_result() -> None:
    options = ["--backbone", "mobilenetv3_small_050", "--image-size", "32", "--clips", "2"]
    options += ["--pairs", "1", "--steps", "1", "--ways", "float32", "bfloat16"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.step", *options],
        capture_output=True,
        text=True,
        check=True,
        timeout=240,
        cwd=ROOT,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["name"], result["n"], result["threads"]) == ("step", 1, 1)
    assert result["ratio"] == pytest.approx(result["released_s"] / result["ours_s"])
    assert set(result["sizes"][0]["ways"]) == {"released", "float32", "bfloat16"}
    assert result["best"] in ("float32", "bfloat16")
    parts = result["sizes"][0]["ways"]["float32"]["parts"]
    assert sum(parts.values()) == pytest.approx(1)
    assert result["machine"]
