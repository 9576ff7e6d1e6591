"""`vipl study`: from a file to a page, stopped, changed and taken up again."""

import copy
import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.fixtures import media
from tests.fixtures.runs import TINY
from vipl.cli import main
from vipl.study import runner

MANIFEST = "${out}/data/clips/m.parquet"
TRAIN = {"configs": ["FOLDER/tiny.yaml"], "set": {"data": {"manifest": MANIFEST}}}
STUDY = {
    "title": "Before and after",
    "about": "A study of nothing.",
    "out": "FOLDER/out",
    "baseline": "vip",
    "seeds": [0, 1],
    "prepare": {"clips": ["manifest", "build", "folder", "FOLDER/videos", "--out", MANIFEST]},
    "encoders": {
        "vip": {"label": "VIP", "train": TRAIN},
        "untrained": {"label": "before training", "untrained": "vip"},
    },
    "evaluations": {
        "curves": {
            "label": "Curves",
            "metrics": ["value_order_correlation", "bumps"],
            "set": {
                "suite": "videos", "manifest": MANIFEST, "split": None, "controls": [],
                "seeds": [0], "workers": 0,
            },
        }
    },
}  # fmt: skip


@pytest.fixture
def study(tmp_path):
    for number in range(3):
        frames = media.moving_square(12 + number, 48, 64)
        media.write_video(tmp_path / "videos" / f"{number}.mp4", frames)
    from omegaconf import OmegaConf

    tiny = OmegaConf.from_dotlist([*TINY, "trainer.max_steps=2", "trainer.accelerator=cpu"])
    OmegaConf.save(tiny, tmp_path / "tiny.yaml")
    text = yaml.safe_dump(STUDY, sort_keys=False).replace("FOLDER", str(tmp_path))
    (tmp_path / "study.yaml").write_text(text)
    return tmp_path / "study.yaml"


@pytest.fixture
def here(monkeypatch):
    """Runs the commands of steps in this process, as they are; lists them."""
    called = []

    def call(run, arguments, stream):
        called.append(arguments)
        return main(list(arguments))

    monkeypatch.setattr(runner._Run, "_call", call)
    return called


def records(study):
    folder = study.parent / "out" / "steps"
    return {
        str(path.parent.relative_to(folder)): json.loads(path.read_text())
        for path in folder.rglob("record.json")
    }


def test_a_study_from_videos_to_its_page(study, here, capsys):
    assert main(["study", "run", str(study)]) == 0
    out = study.parent / "out"
    assert len(here) == 1 + 2 + 4
    assert all(record["finished"] for record in records(study).values())
    with (out / "figures.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["encoder"], row["metric"]) for row in rows] == [
        (encoder, metric)
        for metric in ("value_order_correlation", "bumps")
        for encoder in ("vip", "untrained")
    ]
    for row in rows:
        assert (row["trainings"], row["samples"], row["records"]) == ("2", "3", "6")
        assert float(row["low"]) <= float(row["mean"]) <= float(row["high"])
        assert (row["difference"] == "") == (row["encoder"] == "vip")
        assert row["again"].endswith(f"--only evaluate/curves/{row['encoder']}")
    means = {(r["encoder"], r["metric"]): float(r["mean"]) for r in rows}
    assert means["untrained", "bumps"] == mean_of_records(out, "untrained", "bumps")
    page = (out / "study.html").read_text()
    for text in ("Before and after", "A study of nothing", "before training", "7 of 7 steps done"):
        assert text in page
    assert "http" not in page.replace("http-equiv", "")

    here.clear()
    capsys.readouterr()
    assert main(["study", "run", str(study)]) == 0
    assert here == []
    assert "7 of 7 steps are done" in capsys.readouterr().out

    changed = ["evaluations.curves.set.split=val"]
    assert main(["study", "run", str(study), *changed]) == 2
    assert "made when its command was another: --again" in capsys.readouterr().err
    again = ["--again", "evaluate/curves"]
    assert main(["study", "run", str(study), *changed, *again]) == 0
    assert {arguments[0] for arguments in here} == {"eval"}
    assert len(here) == 4


def mean_of_records(out, encoder, metric):
    values = [
        json.loads(line)["metrics"][metric]
        for path in sorted(out.glob(f"results/*/curves-{encoder}-seed*/records.jsonl"))
        for line in path.read_text().splitlines()
    ]
    return pytest.approx(sum(values) / len(values))


def test_a_step_that_fails_stops_only_what_needs_it(study, here, capsys):
    described = yaml.safe_load(study.read_text())
    settings = copy.deepcopy(described["encoders"]["vip"]["train"])
    settings["set"]["model"] = {"encoder": {"backbone": "nonsense"}}
    described["encoders"]["tcn"] = {"label": "TCN", "train": settings}
    study.write_text(yaml.safe_dump({**described, "seeds": [0]}, sort_keys=False))
    with pytest.raises(SystemExit) as ended:
        main(["study", "run", str(study)])
    assert ended.value.code == 1
    shown = capsys.readouterr()
    assert "train/tcn/seed0 FAILED with status 2" in shown.out
    assert "evaluate/curves/tcn/seed0: left out, as what it needs failed" in shown.out
    assert "the same command tries them again" in shown.err
    assert records(study)["evaluate/curves/vip/seed0"]["finished"]
    assert not records(study)["train/tcn/seed0"]["finished"]
    page = (study.parent / "out" / "study.html").read_text()
    assert "2 of 6 steps are not done" in page

    assert main(["study", "status", str(study)]) == 0
    status = capsys.readouterr().out
    assert "train/vip/seed0: done in" in status
    assert "train/tcn/seed0: not finished" in status
    assert "evaluate/curves/tcn/seed0: not run" in status


def test_a_part_of_a_study(study, here, capsys):
    part = ["--only", "evaluate/curves/untrained"]
    assert main(["study", "run", str(study), "seeds=[0]", *part, "--dry-run"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == [
        "manifest", "fit", "eval",
    ]  # fmt: skip
    assert here == []
    assert main(["study", "page", str(study)]) == 2
    assert "there is nothing in" in capsys.readouterr().err
    assert main(["study", "run", str(study), "seeds=[0]", *part]) == 0
    assert [arguments[0] for arguments in here] == ["manifest", "fit", "eval"]
    assert main(["study", "page", str(study), "seeds=[0]"]) == 0


def test_steps_import_nothing_from_the_working_directory(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("argparse", "yaml", "vipl", "runpy"):
        Path(f"{name}.py").write_text("raise SystemExit(9)\n")
    with Path("log").open("w+b") as log:
        assert runner._Run(tmp_path, [])._call(["--version"], log) == 0
        log.seek(0)
        assert log.read().startswith(b"vipl ")


def processes_of(session: int) -> list[str]:
    """Return the processes of a session that have not ended."""
    listed = subprocess.run(["ps", "-s", str(session), "-o", "stat=,args="], capture_output=True)
    lines = listed.stdout.decode(errors="replace").splitlines()
    return [line for line in lines if not line.startswith("Z")]


@pytest.mark.slow
def test_two_processes_share_a_study_and_a_stopped_one_is_taken_up(study):
    command = [sys.executable, "-m", "vipl.cli", "study", "run", str(study)]
    for number in (signal.SIGTERM, signal.SIGKILL):
        stopped = subprocess.Popen([*command, "--jobs", "2"], start_new_session=True)
        while not records(study).get("prepare/clips", {}).get("finished"):
            time.sleep(0.1)
        time.sleep(4)  # in the midst of trainings
        stopped.send_signal(number)
        assert stopped.wait(timeout=60) == (143 if number == signal.SIGTERM else -number)
        deadline = time.monotonic() + 30
        while left := processes_of(stopped.pid):  # its steps end with it, and what they started
            assert time.monotonic() < deadline, left
            time.sleep(0.2)
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=280)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(records(study)) == 7
    assert all(record["finished"] for record in records(study).values())
    ran = [line for output in outputs for line in output.splitlines() if "output.txt" in line]
    assert len(ran) <= 7, "no step was run by both"
    assert all("output.txt" in output for output in outputs), "both had something to do"
