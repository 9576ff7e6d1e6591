"""`vipl compare` on runs of a toy suite: the screen, the table, the page, and what it refuses."""

import csv
import json
import re
import shutil
import sys
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from tests import ROOT
from vipl.cli import main
from vipl.evaluation.intervals import bootstrap_mean
from vipl.evaluation.reports.comparison.figures import compare
from vipl.evaluation.reports.comparison.runs import read_runs

SUITE = "toy_suite.Toy-v3"


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    """Three evaluations: of two encoders, and of the first with another planner and seeds."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copy(ROOT / "tests/fixtures/toy_suite.py", folder)
    keys = ["--suite", "toy_suite:Toy", "--workers", "0", "controls=[oracle]"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))
        for run_id, backbone, more in (
            ("a", "test_resnet", []),
            ("b", "test_vit", []),
            ("planner", "test_resnet", ["seeds=1,2,3", "planner.samples=8"]),
        ):
            ids = ["--encoder", f"random:{backbone}", "--run-id", run_id]
            assert main(["eval", *keys, *ids, *more]) == 0
    sys.modules.pop("toy_suite", None)
    return folder / "results" / SUITE


@pytest.fixture
def runs(evaluated, tmp_path, monkeypatch):
    """A copy of their folder, the working directory."""
    shutil.copytree(evaluated, tmp_path / SUITE)
    monkeypatch.chdir(tmp_path / SUITE)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path / SUITE


def main_lines(run):
    """Return the lines of the encoder under test, tasks in their order."""
    lines = Path(run, "records.jsonl").read_text().splitlines(keepends=True)
    return [line for line in lines if json.loads(line)["variant"] == "main"]


def errors(run):
    """Return the metric by cell."""
    records = map(json.loads, main_lines(run))
    return {(r["task"], r["camera"], r["seed"]): r["metrics"]["error"] for r in records}


def edit(path, change):
    path = Path(path)
    run = json.loads(path.read_text())
    change(run)
    path.write_text(json.dumps(run))


def drop_task(run, task):
    path = Path(run, "records.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(line for line in lines if json.loads(line)["task"] != task))


def table():
    with Path("out", "compare.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_is_that_of_the_shared_cells(runs, capsys):
    assert main(["compare", "a=a", "b", "other=planner", "--metric", "error", "--out", "out"]) == 0
    rows = table()
    assert {(row["suite"], row["metric"], row["higher_is_better"]) for row in rows} == {
        (SUITE, "error", "False")
    }
    values = {"a": errors("a"), "random-test_vit": errors("b")}
    shared = [place for place in values["a"] if place[2] in (1, 2)]
    for run, of_run in values.items():
        tasks = defaultdict(list)
        for place in shared:
            tasks[place[0]].append(of_run[place])
        means = {task: sum(found) / len(found) for task, found in tasks.items()}
        means[""] = sum(means.values()) / len(means)
        found = {r["task"]: r for r in rows if r["run"] == run and r["statistic"] == "mean"}
        assert {task: float(row["estimate"]) for task, row in found.items()} == pytest.approx(means)
        assert found[""]["cells"] == "12"
        assert float(found[""]["low"]) < means[""] < float(found[""]["high"])
    (better,) = (
        row
        for row in rows
        if (row["run"], row["statistic"], row["task"]) == ("random-test_vit", "better_cells", "")
    )
    wins = sum(values["random-test_vit"][place] < values["a"][place] for place in shared)
    assert (int(better["estimate"]), better["baseline"]) == (wins, "a")
    assert [row["run"] for row in rows if row["kind"] == "oracle"] == [
        "oracle (ground-truth state)"
    ]


def test_controls_that_differ_are_told_apart(runs):
    """The oracle, by how far it is from the goal: of every cell with the other planner."""
    path = Path("planner", "records.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        record["metrics"]["error"] += 1
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert (
        main(["compare", "a=a", "b", "planner=planner", "--metric", "error", "--out", "out"]) == 0
    )
    means = {r["run"]: float(r["estimate"]) for r in table() if r["kind"] == "oracle"}
    first, other = (
        "oracle (ground-truth state) of a, random-test_vit",
        "oracle (ground-truth state) of planner",
    )
    assert set(means) == {first, other}
    alone = means[first]
    assert means[other] == pytest.approx(alone + 1)
    for number in range(3):  # three more that differ
        shutil.copytree("planner", f"more{number}")
        for record in records:
            record["metrics"]["error"] += 1
        text = "".join(json.dumps(record) + "\n" for record in records)
        Path(f"more{number}", "records.jsonl").write_text(text)
    all_runs = ["a=a", "planner=planner", "more0", "more1", "more2"]
    assert main(["compare", *all_runs, "--metric", "error", "--out", "out"]) == 0
    means = {r["run"]: float(r["estimate"]) for r in table() if r["kind"] == "oracle"}
    # They have 0, 1, 2, 3 and 4 more than the first.
    assert means == {"oracle (ground-truth state), mean of 5": pytest.approx(alone + 2)}


def test_the_screen_says_what_was_compared(runs, capsys):
    assert main(["compare", "a=a", "b", "other=planner"]) == 0
    shown = capsys.readouterr().out
    assert f"{SUITE}: success, higher is better, on 12 cells of 3 tasks that all 3 runs" in shown
    for run in ("a", "random-test_vit", "other"):
        assert f"note: {run}: 6 of 18 cells left out, as not every run has them" in shown
    assert re.search(r"planner\.samples +│ 4 +│ a, random-test_vit", shown)
    assert re.search(r"planner\.samples +│ 8 +│ other", shown)
    assert "setting" not in shown.split("planner.samples")[1]
    assert not Path("out").exists()


def test_the_page_is_one_file_that_shows_the_same(runs):
    shutil.copytree("b", "<b>bold")  # of a label that others have, so it is called like its folder
    runs = ["a=a", "<i>=b", "planner", "b", "<b>bold"]
    assert main(["compare", *runs, "--metric", "error", "--out", "out"]) == 0
    page = Path("out", "compare.html").read_text()
    assert "<i>" not in page
    assert "<b>" not in page
    assert not re.search(r"""(src|href)=["'](?!#|data:)""", page)
    assert "prefers-color-scheme: dark" in page
    text = re.sub(r"\s+", " ", words(page))
    for name in ("Interquartile mean", "Probability of improvement", "Each against each"):
        assert name in text
    for row in table():
        if row["statistic"] == "mean":
            size = abs(float(row["estimate"]))
            digits = f"{size:.{1 if size >= 10 else 2 if size >= 1 else 3}f}"
            assert digits in text
    assert "<i> and <b>bold are the same encoder with the same settings" in text


def words(page):
    class Text(HTMLParser):
        parts: list[str]

        def handle_data(self, data):
            self.parts.append(data)

    parser = Text()
    parser.parts = []
    parser.feed(page)
    return " ".join(parser.parts)


def test_a_run_against_itself_does_not_differ(runs, capsys):
    assert main(["compare", "a", "again=a/records.jsonl", "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert "random-test_resnet and again are the same encoder with the same settings" in shown
    rows = {r["statistic"]: r for r in table() if r["run"] == "again" and not r["task"]}
    assert float(rows["difference"]["estimate"]) == 0
    assert float(rows["probability_of_improvement"]["estimate"]) == 0.5
    assert float(rows["p_value"]["estimate"]) == 1


def test_what_a_killed_run_lacks_is_said(runs, capsys):
    lines = main_lines("b")
    lines[4] = lines[4].replace('"error": null', '"error": "ValueError: no"')
    Path("b", "records.jsonl").write_text("".join(lines[:10]) + lines[10][:40])
    assert main(["compare", "a", "b"]) == 0
    shown = capsys.readouterr().out
    assert "note: random-test_vit: 10 of 18 cells finished so far" in shown
    assert "note: random-test_vit: 1 cell failed" in shown
    assert "note: random-test_vit: 1 line of records.jsonl could not be read" in shown
    assert "9 of 18 cells left out, as not every run has them (all of up)" in shown
    assert "on 9 cells of 2 tasks" in shown


def test_few_cells_and_one_claim_nothing(runs, capsys):
    for run in ("a", "b"):
        Path(run, "records.jsonl").write_text(main_lines(run)[0])
    assert main(["compare", "a", "b", "--metric", "error", "--out", "out"]) == 0
    assert "1 cell cannot tell runs apart: that takes 6 or more" in capsys.readouterr().out
    assert {(row["low"], row["high"]) for row in table()} == {("", "")}


def test_many_runs_with_long_names(runs, capsys):
    names = []
    for number in range(8):
        names.append(f"{number}{'x' * 79}")
        shutil.copytree("a" if number % 2 else "b", names[-1])
    assert main(["compare", *names, "--out", "out"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.split("note:")[0].splitlines())) <= 120
    assert {row["run"] for row in table()} >= set(names)


def version_2(run):
    run["suite"]["version"] = 2


def other_direction(run):
    run["higher_is_better"]["error"] = True


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a"], "a is one run: name two or more"),
        (["a", "a"], "2 runs are called 'a': name them by LABEL=RUN"),
        (["x=a", "x=b"], "2 runs are called 'x': name them by LABEL=RUN"),
        (["a", "plannr"], "there is no run plannr: did you mean planner?"),
        (["a", f"../{SUITE}s/b"], f"there is no run ../{SUITE}s/b: did you mean ../{SUITE}?"),
        (["a", "."], ". holds 3 runs: name each, a, b, planner"),
        (["a", "empty"], "empty has no run.json: expected a folder that `vipl eval` wrote"),
        (["a", "b/toy.txt"], "b/toy.txt is no run: expected a folder of results"),
        (["a", "=b"], "'=b' is no run: expected RUN or LABEL=RUN"),
        (["a", "b", "--metric", "sucess"], "there is no metric 'sucess': expected success"),
        (["a", "b", "--out", "b/toy.txt"], "b/toy.txt: File exists"),
    ],
)
def test_what_is_no_run_is_refused(runs, capsys, arguments, message):
    Path("empty").mkdir()
    Path("b", "toy.txt").touch()
    assert main(["compare", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_what_cannot_be_compared_is_refused(runs, capsys):
    def refusal(*arguments):
        assert main(["compare", *arguments]) == 2
        return capsys.readouterr().err

    edit("b/run.json", version_2)
    assert f"random-test_resnet is of {SUITE} and random-test_vit of toy_suite.Toy-v2" in refusal(
        "a", "b"
    )
    edit("planner/run.json", other_direction)
    assert "disagree on whether a higher error is better" in refusal("x=a", "planner")
    shutil.copytree("a", "left")
    shutil.copytree("a", "rest")
    drop_task("rest", "left")
    for task in ("right", "up"):
        drop_task("left", task)
    message = refusal("left", "rest")
    assert "no cell (task, camera, seed) in common: left has tasks left /" in message
    assert "rest has tasks right, up / cameras front, side / seeds 0, 1, 2" in message
    Path("rest", "records.jsonl").write_text("")
    message = refusal("a", "rest")
    assert "rest (rest) has no value of success: of 18 cells 0 finished and 0 failed" in message
    Path("rest", "run.json").write_text("{")
    assert "rest/run.json is not JSON" in refusal("a", "rest")


def test_tasks_that_are_a_sample_are_resampled(runs):
    for name in ("a", "b"):
        run = json.loads((runs / name / "run.json").read_text())
        (runs / name / "run.json").write_text(json.dumps({**run, "sampled_tasks": True}))
    found = compare(read_runs(["a", "b"]))
    by_task: dict[str, list[float]] = {}
    for record in map(json.loads, main_lines("a")):
        by_task.setdefault(record["task"], []).append(record["metrics"][found.measure.name])
    assert len(by_task) > 1
    assert min(map(len, by_task.values())) > 1
    expected = bootstrap_mean([float(np.mean(values)) for values in by_task.values()])
    assert found.overall[0].mean == expected


def test_intervals_are_named_where_they_are_used(runs, capsys, monkeypatch):
    """Rates without spread have Wilson's, and their differences Newcombe's, not the bootstrap's."""
    monkeypatch.setenv("COLUMNS", "300")

    def set_success(run, values):
        path = Path(run, "records.jsonl")
        records = [json.loads(line) for line in main_lines(run)]
        for number, record in enumerate(records):
            record["metrics"]["success"] = values[number % len(values)]
        path.write_text("".join(json.dumps(record) + "\n" for record in records))

    shown = {}
    for name, values in (("mixed", ([0.0, 1.0], [1.0, 0.0, 0.0])), ("alike", ([1.0], [0.0]))):
        set_success("a", values[0])
        set_success("b", values[1])
        assert main(["compare", "a", "b", "--metric", "success", "--out", name]) == 0
        shown[name] = " ".join(capsys.readouterr().out.split())
        page = " ".join(Path(name, "compare.html").read_text().split())
        assert ("Newcombe's where all pairs" in page.replace("&#39;", "'")) == (name == "alike")
    named = "over episodes: bootstrap, Wilson's where all episodes ended alike, Newcombe's where"
    assert named in shown["alike"]
    assert "bootstrap. The last two" in shown["mixed"]
    assert main(["compare", "a", "b", "--metric", "error"]) == 0
    assert "Wilson" not in capsys.readouterr().out
