"""The report of an evaluation, on synthetic results whose numbers are known."""

import base64
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from vipl.errors import UserError
from vipl.evaluation.reports.report import duration, write_report
from vipl.evaluation.results import Record
from vipl.evaluation.wording import NOTHING, number, percent

TASKS = {
    "ldoor_open": "open the left hinged cabinet",
    "ldoor_close": "close the left hinged cabinet",
    "rdoor_open": "open the right hinged cabinet",
    "rdoor_close": "close the right hinged cabinet",
    "sdoor_open": "open the sliding door",
    "sdoor_close": "close the sliding door",
    "micro_open": "open the microwave",
    "micro_close": "close the microwave",
    "knob1_on": "turn the first knob on",
    "knob1_off": "turn the first knob off",
    "light_on": "switch the light on",
    "light_off": "switch the light off",
}
MINUS = "\N{MINUS SIGN}"
CAMERAS = ("default", "left_cam", "right_cam")
SKILL = {"main": 0.36, "oracle": 0.95, "random": 0.03, "random_goal": 0.06, "samples=8": 0.2}
SKILL |= {"samples=128": 0.47}


def make_run(
    tasks: Sequence[str] = tuple(TASKS), cameras: Sequence[str | None] = CAMERAS, **changes
) -> dict:
    """Return a run.json."""
    run = {
        "format": "vipl-evaluation",
        "format_version": 1,
        "run_id": "kitchen-hard-0123abcd",
        "created": "2026-03-01T09:30:00Z",
        "command": "vipl eval --suite frankakitchen encoder=runs/kitchen/encoder setting=hard",
        "suite": {
            "name": "frankakitchen",
            "version": 1,
            "description": "Twelve tasks of the Franka kitchen, planned by MPPI.",
            "class": "vipl_evaluators.frankakitchen.evaluator:FrankaKitchen",
        },
        "protocol": "trajopt",
        "tasks": {task: TASKS[task] for task in tasks},
        "cameras": list(cameras),
        "seeds": [0, 1, 2],
        "higher_is_better": {
            "success": True, "object_error": False, "robot_error": False,
            "best_object_error": False,
        },
        "labels": {
            "object_error": "object error (share of the joint's range)",
            "robot_error": "robot error (rad)",
        },
        "encoder": {
            "source": "runs/kitchen/encoder", "label": "kitchen", "sha256": "ab" * 32,
            "backbone": "resnet10t",
        },
        "config": {"setting": "hard", "planner": {"samples": 32, "horizon_steps": 12}},
        "cells": {},
        "git": "0123456789abcdef",
        "packages": {"torch": "2.14.1", "mujoco": "3.11.0"},
        "machine": {"cpu": "Xeon", "cores": 2, "gpu": None},
    }  # fmt: skip
    return run | changes


def make_record(
    task: str,
    camera: str | None,
    seed: int,
    variant: str = "main",
    solved: bool | None = None,
    steps: int = 100,
    **changes,
) -> Record:
    """Return an episode that ends as is told, or as its variant would."""
    rng = random.Random(f"{task} {camera} {seed} {variant}")
    if solved is None:
        solved = rng.random() < SKILL[variant] * (1.6 if "open" in task or "on" in task else 0.5)
    end = rng.uniform(0.01, 0.14) if solved else rng.uniform(0.3, 1.05)
    time = np.linspace(0, 1, steps + 1)
    fall = 1 / (1 + np.exp(-14 * (time - rng.uniform(0.3, 0.6))))
    noise = np.random.default_rng(rng.randrange(1000)).normal(size=steps + 1).cumsum()
    error = 1 - (1 - end) * fall
    robot = 1.4 * np.exp(-3 * time) + 0.12 + 0.01 * noise
    traces = {"object_error": error.tolist(), "robot_error": robot.tolist()}
    if variant != "oracle":
        start = rng.uniform(180, 260)
        distance = start * (0.35 * error + 0.65 * np.exp(-3 * time)) + 1.5 * noise
        traces["distance"] = np.abs(distance).tolist()
    metrics = {
        "success": float(solved), "object_error": end, "robot_error": float(robot[-1]),
        "best_object_error": float(error.min()),
    }  # fmt: skip
    values = {
        "task": task, "camera": camera, "seed": seed, "variant": variant, "protocol": "trajopt",
        "key": f"{task} {camera} {seed} {variant}", "metrics": metrics, "traces": traces,
        "seconds": 80.0,
    }  # fmt: skip
    return Record(**(values | changes))


def make_failed(task: str, camera: str | None, seed: int, variant: str = "main") -> Record:
    """Return a cell that ended in an error."""
    error = "RuntimeError: the renderer <EGL> & its context were lost"
    return make_record(task, camera, seed, variant, metrics={}, traces={}, error=error)


def make_grid(run: dict, variants: Sequence[str] = ("main",)) -> list[Record]:
    """Return the records of a whole grid, and note their number in the run."""
    records = []
    for variant in variants:
        cameras = run["cameras"][:1] if variant == "oracle" else run["cameras"]
        cells = [
            make_record(task, camera, seed, variant)
            for task in run["tasks"]
            for camera in cameras
            for seed in run["seeds"]
        ]
        run["cells"][variant] = len(cells)
        records += cells
    return records


def write_results(folder: Path, run: dict, records: Sequence[Record]) -> None:
    """Write run.json and records.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "records.jsonl").write_text("".join(record.to_line() for record in records))


class Page(HTMLParser):
    """A page taken apart: every tag is closed; tables, texts by class, and what is loaded."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.open: list[tuple[str, dict]] = []
        self.tables: list[list[list[str]]] = []
        self.loads: list[str] = []
        self.ids: set[str] = set()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.ids |= {values["id"]} if "id" in values else set()
        self.loads += [
            values[name] for name in ("src", "href", "poster", "srcset") if name in values
        ]
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag != "meta":
            self.open.append((tag, values))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        names = [tag for tag, _ in self.open]
        if "style" in names or "script" in names:
            return
        self.words.append(data)
        if "td" in names or "th" in names:
            self.tables[-1][-1][-1] += " " + data.strip()

    @property
    def prose(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_on(folder: Path, run: dict, records: Sequence[Record]) -> Page:
    write_results(folder, run, records)
    report = write_report(folder)
    assert report == folder / "report.html"
    json.loads((folder / "summary.json").read_text(), parse_constant=pytest.fail)
    page = Page(report.read_text(encoding="utf-8"))
    assert not [load for load in page.loads if not load.startswith(("#", "data:"))]
    assert not re.search(r"url\(|@import|\bnan\b|\binf\b", page.text)
    return page


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> tuple[Page, list[Record], Path]:
    """The paper's grid, with controls, two more budgets, three failures and videos."""
    folder = tmp_path_factory.mktemp("results")
    run = make_run()
    records = make_grid(
        run, ("main", "oracle", "random", "random_goal", "samples=8", "samples=128")
    )
    for index in (0, 1, 30):
        records[index] = make_failed(
            records[index].task, records[index].camera, records[index].seed
        )
    (folder / "videos").mkdir()
    for index in range(2, 12):
        records[index] = replace(records[index], video=f"videos/{index}.mp4")
        (folder / f"videos/{index}.mp4").write_bytes(bytes([index]) * 200_000)
    return report_on(folder, run, records), records, folder


def rate(records: Sequence[Record]) -> tuple[int, int]:
    done = [record for record in records if record.error is None]
    return sum(record.metrics["success"] == 1 for record in done), len(done)


def test_the_verdict_counts_episodes(whole):
    page, records, _ = whole
    hits, total = rate([record for record in records if record.variant == "main"])
    assert total == 105
    oracle = np.mean(
        [record.metrics["success"] for record in records if record.variant == "oracle"]
    )
    assert re.search(
        rf"Solved {hits} of {total} episodes \(\d+% \[\d+, \d+\]\); oracle {100 * oracle:.0f}%, "
        r"untrained floor \d+%\.",
        page.prose,
    )
    assert "3 cells failed" in page.prose
    assert "so far" not in page.prose


def test_the_table_agrees_with_the_records(whole):
    page, records, _ = whole
    header, *rows = page.tables[0]
    assert [cell.strip() for cell in header] == [
        "task", *CAMERAS, "all cameras", "oracle (ground-truth state)", "untrained encoder",
    ]  # fmt: skip
    assert len(rows) == 13
    for task, row in zip([*TASKS, None], rows, strict=True):
        mine = [record for record in records if task in (None, record.task)]
        main = [record for record in mine if record.variant == "main"]
        groups = [[record for record in main if record.camera == camera] for camera in CAMERAS]
        groups += [main]
        groups += [[r for r in mine if r.variant == variant] for variant in ("oracle", "random")]
        expected = [f"{hits}/{total}" if total else NOTHING for hits, total in map(rate, groups)]
        assert [cell.split()[0] for cell in row[1:]] == expected


def test_the_page_shows_what_the_summary_says(whole):
    page, _, folder = whole
    summary = json.loads((folder / "summary.json").read_text())
    entry = summary["variants"]["main"]["metrics"]["success"]["tasks"]["sdoor_open"]
    texts = [f"{100 * entry[key]:.0f}" for key in ("mean", "low", "high")]
    row = next(row for row in page.tables[0] if "sdoor_open" in row[0])
    assert row[4].endswith("{}% [{}, {}]".format(*texts))


def test_budgets_are_compared_on_the_cells_that_they_share(whole):
    page, records, _ = whole
    lost = {(r.task, r.camera, r.seed) for r in records if r.error is not None}
    assert "on the 105 cells that all budgets share" in page.prose
    for row, variant in zip(page.tables[1][1:], ("samples=8", "main", "samples=128"), strict=True):
        kept = [r for r in records if (r.task, r.camera, r.seed) not in lost]
        hits, total = rate([record for record in kept if record.variant == variant])
        assert f"{hits} of {total} episodes" in row[1]
        assert row[0].strip() == {"main": "32"}.get(variant, variant.removeprefix("samples="))


def test_another_tasks_goal_is_set_against_the_own(whole):
    page, _, _ = whole
    assert re.search(
        r"On the 105 cells run with both, the encoder reaches \d+% \[\d+, \d+\] with its own goal "
        r"and \d+% \[\d+, \d+\] with another task's goal: the intervals are apart",
        page.prose,
    )


def test_distances_at_the_end_by_how_it_ended(whole):
    page, records, _ = whole
    main = [r for r in records if r.variant == "main" and r.error is None]
    rows = {row[0].strip(): row[1:] for row in page.tables[2]}
    for task in (*TASKS, "all tasks"):
        mine = [r for r in main if task in (r.task, "all tasks")]
        for column, solved in ((1, 1), (2, 0)):
            ends = [r.traces["distance"][-1] for r in mine if r.metrics["success"] == solved]
            text = f"{number(float(np.mean(ends)))} ({len(ends)})" if ends else NOTHING
            assert rows[task][column].strip() == text


def test_every_plot_has_its_lines(whole):
    page, records, _ = whole
    assert page.text.count("thin") > sum(record.variant == "main" for record in records) - 4
    cards = 12 * 2 + 12 + 2 * 2 + 1  # traces a task, distance, traces, budget
    assert page.tags.count("figure") == cards + 6
    ends = re.findall(r'class="k-(?:main|oracle|solved|unsolved)[^"]*" d="M0 (\d+)L', page.text)
    assert ends
    assert all(0 <= int(end) <= 1000 for end in ends)


def test_six_videos_are_inside_and_the_page_stays_small(whole):
    page, records, folder = whole
    shown = [load for load in page.loads if load.startswith("data:video/mp4;base64,")]
    assert len(shown) == len(set(shown)) == 6
    order = [base64.b64decode(load.partition(",")[2])[0] for load in shown]
    errors = [records[index].metrics["object_error"] for index in order]
    solved = [records[index].metrics["success"] for index in order]
    assert solved == sorted(solved, reverse=True)
    assert errors[0] == min(r.metrics["object_error"] for r in records[2:12])
    assert (folder / "report.html").stat().st_size < 6e6


def test_what_failed_is_listed_and_escaped(whole):
    page, _, _ = whole
    assert "failed" in page.ids
    assert "the renderer &lt;EGL&gt; &amp; its context were lost" in page.text
    assert "main · ldoor_open · default · seed 0" in page.prose


def test_how_it_was_made(whole):
    page, records, _ = whole
    for text in ("vipl eval --suite frankakitchen", "ab" * 32, "torch 2.14.1", "0123456789abcdef"):
        assert text in page.prose
    assert f"{duration(sum(r.seconds for r in records))} in {len(records)} cells" in page.prose
    assert '"horizon_steps": 12' in page.prose


def test_no_request_can_leave_the_page(whole):
    page, _, _ = whole
    assert "default-src 'none'" in page.text
    assert not {"link", "iframe", "img", "object", "embed"} & set(page.tags)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_lines_stand_out_in_both_themes(whole, theme):
    page, _, _ = whole
    blocks = re.findall(r"color-scheme: (light|dark);(.*?)}", page.text, re.DOTALL)
    colours = dict(
        re.findall(r"--([\w-]+): (#\w{6})", next(b for name, b in blocks if name == theme))
    )
    for ground in ("ground", "surface"):
        for name in ("ink", "muted", "main", "unsolved"):
            assert contrast(colours[name], colours[ground]) >= 4.5
        for name in ("oracle", "random", "random-goal", "solved"):
            assert contrast(colours[name], colours[ground]) >= 3


def contrast(one: str, other: str) -> float:
    """Return the ratio of WCAG 2."""

    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_nothing_yet(tmp_path):
    run = make_run(cells={"main": 108, "oracle": 36})
    write_results(tmp_path, run, [])
    (tmp_path / "records.jsonl").unlink()
    page = Page(write_report(tmp_path).read_text())
    assert "No episode has finished yet." in page.prose
    assert "0 of 108 episodes so far, 0 of 144 with the controls." in page.prose
    assert "budgets=[8,32,128]" in page.prose
    assert not {"errors", "distance", "videos", "failed", "goal"} & page.ids


def test_one_cell(tmp_path):
    run = make_run(["sdoor_open"], ["left_cam"], cells={"main": 1})
    page = report_on(tmp_path, run, [make_record("sdoor_open", "left_cam", 0, solved=True)])
    assert "Solved 1 of 1 episode (100% [21, 100])." in page.prose
    assert [cell.strip() for cell in page.tables[0][0]] == ["task", "all episodes"]


def test_part_of_a_grid_and_a_torn_line(tmp_path):
    run = make_run()
    records = make_grid(run, ("main", "oracle"))[:61]
    write_results(tmp_path, run, records)
    with (tmp_path / "records.jsonl").open("a") as stream:
        stream.write('{"task": "ldoor_op')
    page = Page(write_report(tmp_path).read_text())
    assert "61 of 108 episodes so far, 61 of 144 with the controls." in page.prose
    assert "1 line of records.jsonl could not be read" in page.prose
    assert NOTHING + " not run" in page.tables[0][-2][4]


def test_a_mean_over_tasks_that_is_not_the_episodes_rate_says_so(tmp_path):
    run = make_run(["sdoor_open", "knob1_on"], ["left_cam"], cells={"main": 6})
    records = [make_record("sdoor_open", "left_cam", seed, solved=True) for seed in range(3)]
    records.append(make_record("knob1_on", "left_cam", 0, solved=False))
    page = report_on(tmp_path, run, records)
    assert "Solved 3 of 4 episodes (mean over tasks 50% [" in page.prose


def test_every_cell_failed(tmp_path):
    run = make_run(["sdoor_open"], cells={"main": 9})
    page = report_on(tmp_path, run, [make_failed("sdoor_open", "default", s) for s in range(2)])
    assert "None of 2 finished episodes gave a result." in page.prose
    assert "2 failed" in page.tables[0][1][1]


def test_the_oracle_under_test_needs_no_camera_and_has_no_distance(tmp_path):
    run = make_run(["sdoor_open"], [None], encoder={"source": "oracle", "label": "oracle"})
    records = make_grid(run)
    for record in records:
        del record.traces["distance"]
    page = report_on(tmp_path, run, records)
    assert "errors" in page.ids
    assert not {"distance", "goal"} & page.ids
    assert "seed 0" not in page.prose
    assert "None" not in page.prose


def test_another_suite_with_other_metrics(tmp_path):
    run = make_run(
        ["sdoor_open", "knob1_on"], [None], labels={}, config={},
        higher_is_better={"return": True, "jerk_m_s3": False},
    )  # fmt: skip
    values = {"main": -2.0, "oracle": 4.5, "random": -6.0}
    records = [
        replace(
            record,
            metrics={"return": values[record.variant] + 0.1 * record.seed, "jerk_m_s3": 0.5},
            traces={"height": [0.1, None, 0.3][: record.seed + 1], "distance": [3.0, 2.0]},
        )
        for record in make_grid(run, tuple(values))
    ]
    page = report_on(tmp_path, run, records)
    prose = page.prose.replace(MINUS, "-")
    assert re.search(
        r"Return -1\.90 \[-\S+, -\S+\] over 6 episodes; oracle 4\.60, untrained floor -5\.90\.",
        prose,
    )
    assert "jerk m s3" not in page.prose  # only videos name a second metric
    assert "Over time" in page.prose
    assert "budget" not in page.ids
    assert [cell.strip() for cell in page.tables[-1][0]] == ["mean distance", "start", "end"]


def test_a_wrong_goal_that_does_as_well(tmp_path):
    run = make_run(["sdoor_open"], ["left_cam"])
    records = [
        make_record("sdoor_open", "left_cam", seed, variant, solved=seed % 2 == 0)
        for variant in ("main", "random_goal")
        for seed in range(6)
    ]
    page = report_on(tmp_path, run, records)
    assert "do not show that the goal image matters" in page.prose


@pytest.mark.parametrize("higher", [True, False])
def test_the_goal_sentence_knows_which_way_is_better(tmp_path, higher):
    run = make_run(["sdoor_open"], ["left_cam"], higher_is_better={"score": higher})
    records = [
        make_record("sdoor_open", "left_cam", seed, variant, metrics={"score": centre + seed})
        for variant, centre in (("main", 100.0), ("random_goal", 10.0))
        for seed in range(6)
    ]
    page = report_on(tmp_path, run, records)
    assert ("so the goal image matters" in page.prose) is higher
    assert ("the wrong goal does better" in page.prose) is not higher


def test_videos_that_are_lost_or_outside_are_left_out(tmp_path):
    run = make_run(["sdoor_open"], ["left_cam"])
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"secret")
    videos = ["videos/gone.mp4", "../outside.mp4", "videos/there.mp4"]
    records = [
        make_record("sdoor_open", "left_cam", seed, video=video)
        for seed, video in enumerate(videos)
    ]
    (tmp_path / "run/videos").mkdir(parents=True)
    (tmp_path / "run/videos/there.mp4").write_bytes(b"there")
    page = report_on(tmp_path / "run", run, records)
    assert [load for load in page.loads if load.startswith("data:")] == [
        "data:video/mp4;base64," + base64.b64encode(b"there").decode()
    ]
    assert "2 videos are missing" in page.prose


def test_names_cannot_break_the_page(tmp_path):
    evil = "</script><img src=https://x.y/z onerror=alert(1)>\"'"
    run = make_run(
        cameras=[evil], command=evil, labels={"success": evil, "distance": evil},
        encoder={"source": evil, "label": evil}, config={"setting": evil, "planner": evil},
    )  # fmt: skip
    run["tasks"] = {evil: evil}
    records = [make_record(evil, evil, 0, solved=True), make_failed(evil, evil, 1)]
    page = report_on(tmp_path, run, [*records, replace(records[1], seed=2, error=evil)])
    assert "img" not in page.tags
    assert page.tags.count("script") == 1


def test_long_traces_are_thinned(tmp_path):
    run = make_run(["sdoor_open"], ["left_cam"])
    page = report_on(tmp_path, run, [make_record("sdoor_open", "left_cam", 0, steps=20_000)])
    assert len(page.text) < 150_000


def test_a_folder_that_is_no_evaluation(tmp_path):
    with pytest.raises(UserError, match=r"has no run\.json: expected a folder"):
        write_report(tmp_path)
    for content, message in (
        ("{", "is not JSON"),
        ("{}", "is not of an evaluation"),
        (json.dumps(make_run(format_version=9)), "has the format version 9, expected 1"),
        (json.dumps(make_run(higher_is_better={})), "names no metric"),
    ):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(UserError, match=message):
            write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_how_numbers_read():
    assert [percent(v) for v in (0, 0.001, 0.344, 0.996, 1)] == ["0%", "<1%", "34%", ">99%", "100%"]
    values = (0, 0.0699, 1.5, 12.34, 256.1, 12345.6, -2.5, 1e-5, -3e-13, 3e7)
    expected = [
        "0",
        "0.070",
        "1.50",
        "12.3",
        "256",
        "12,346",
        f"{MINUS}2.50",
        f"1e{MINUS}05",
        "0.000",
        "3e+07",
    ]
    assert [number(v) for v in values] == expected
    assert [duration(s) for s in (59, 61, 8760)] == ["59 s", "1 min 1 s", "2 h 26 min"]
