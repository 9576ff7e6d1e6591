"""`vipl eval --suite frankakitchen`, in small: real simulator, real pictures, real processes."""

import json

import pytest

from vipl.cli import main

pytestmark = pytest.mark.usefixtures("opengl")

SMALL = (
    "tasks=[light_on,knob1_on]", "cameras=[left_cam]", "seeds=[3]", "steps=2", "image_size=64",
    "trajopt.samples=4", "trajopt.horizon_steps=3",
)  # fmt: skip


def evaluate(out, *extra, encoder="random:resnet10t", workers=1):
    flags = ["--suite", "frankakitchen", "--encoder", encoder, "--run-id", "it", "--out", str(out)]
    assert main(["eval", *flags, "--workers", str(workers), *SMALL, *extra]) == 0
    folder = out / "frankakitchen-v1" / "it"
    lines = (folder / "records.jsonl").read_text().splitlines()
    records = [{**json.loads(line), "seconds": None} for line in lines]
    return folder, sorted(records, key=lambda record: (record["variant"], record["task"]))


@pytest.fixture(scope="module")
def evaluation(tmp_path_factory):
    return evaluate(tmp_path_factory.mktemp("one"))


def test_every_variant_has_its_records_and_videos(evaluation):
    folder, records = evaluation
    variants = [(record["variant"], record["task"]) for record in records]
    tasks = ("knob1_on", "light_on")
    assert variants == [(v, t) for v in ("main", "oracle", "random_goal") for t in tasks]
    for record in records:
        assert record["error"] is None
        assert set(record["metrics"]) == {
            "success", "ever_success", "object_error", "robot_error",
        }  # fmt: skip
        assert record["metrics"]["object_error"] == pytest.approx(1, abs=0.1)  # two steps
        assert ("distance" in record["traces"]) == (record["variant"] != "oracle")
        assert all(len(trace) == 3 for trace in record["traces"].values())
        assert (folder / record["video"]).stat().st_size > 500
    said = json.loads((folder / "run.json").read_text())["pictures"]
    assert said.startswith("64 px, resized to ")
    assert "light_on" in (report := (folder / "report.html").read_text())
    assert said in report
    goals = {(r["variant"], r["task"]): r["info"]["goal"] for r in records}
    assert goals["main", "light_on"] == "light_on/start_03"  # held out
    assert not goals["random_goal", "light_on"].startswith("light_on")


@pytest.mark.slow
def test_two_workers_give_the_same_records(evaluation, tmp_path):
    _, records = evaluation
    assert evaluate(tmp_path, workers=2)[1] == records


@pytest.mark.slow
def test_an_easy_start_is_nearer(evaluation, tmp_path):
    _, easy = evaluate(tmp_path, "setting=easy", "controls=[]")
    hard = [record for record in evaluation[1] if record["variant"] == "main"]
    for near, far in zip(easy, hard, strict=True):
        assert near["traces"]["robot_error"][0] < far["traces"]["robot_error"][0]
        assert near["metrics"]["success"] == 0  # not solved to begin with
