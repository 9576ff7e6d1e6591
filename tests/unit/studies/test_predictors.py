"""A figure tells success where trainings that solve the task have the better of it."""

import json
import sys

import numpy as np
import pytest
from studies.curve_to_control.predictors import area, main

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.results import FORMAT, FORMAT_VERSION, RECORDS_FILE, Record
from vipl.evaluation.run_file import RUN_FILE

# success, bumps, correlation with order, with the true error, sensitivity; of each training
TRAININGS = {
    "a-seed0": (1, 0.1, 0.9, 0.8, 0.5),
    "a-seed1": (1, 0.2, 0.8, 0.7, 0.5),
    "b-seed0": (0, 0.3, 0.9, 0.9, 0.5),
    "b-seed1": (0, 0.2, 0.7, 0.9, 0.5),
}


def test_the_area_counts_pairs_and_ties_half():
    solved = np.array([True, True, False, False])
    assert area(np.array([3.0, 2.0, 2.0, 1.0]), solved) == 3.5 / 4
    assert np.isnan(area(np.array([1.0, 2.0]), np.array([True, True])))


def test_it_reads_what_the_study_made(tmp_path, monkeypatch, capsys):
    for training, (success, bumps, order, true, sensitivity) in TRAININGS.items():
        write(tmp_path, "planned", training, {"success": success})
        write(tmp_path, "curves", training, {"bumps": bumps, "value_order_correlation": order})
        values = {"value_correlation": true, "object_sensitivity": sensitivity}
        write(tmp_path, "correlation", training, values)
    write(tmp_path, "planned", "c-seed0", {"success": 1.0})  # no curves yet
    found = run(monkeypatch, capsys, tmp_path)
    assert (found["trainings"], found["solved"]) == (4, 2)
    areas = {name: values[0] for name, values in found["areas"].items()}
    assert areas == {
        "curves/bumps": 3.5 / 4,
        "curves/value_order_correlation": 2.5 / 4,
        "correlation/value_correlation": 0.0,
        "correlation/object_sensitivity": 0.5,
    }


def test_without_both_kinds_it_says_so(tmp_path, monkeypatch, capsys):
    write(tmp_path, "planned", "a-seed0", {"success": 1.0})
    with pytest.raises(SystemExit, match="no two trainings of which one solves the task"):
        run(monkeypatch, capsys, tmp_path)


def write(folder, evaluation, training, metrics):
    run = folder / "results" / "suite-v1" / f"{evaluation}-{training}"
    run.mkdir(parents=True)
    record = Record("task", "camera", 0, evaluation, MAIN, "key", metrics)
    (run / RECORDS_FILE).write_text(record.to_line())
    directions = {name: name != "bumps" for name in metrics}
    about = {"format": FORMAT, "format_version": FORMAT_VERSION, "higher_is_better": directions}
    (run / RUN_FILE).write_text(json.dumps(about))


def run(monkeypatch, capsys, folder):
    encoders = {name: {"label": name, "train": {"configs": []}} for name in "abc"}
    evaluations = {name: {"label": name} for name in ("planned", "curves", "correlation")}
    study = {"title": "A study", "out": str(folder), "baseline": "a", "seeds": [0, 1]}
    file = folder / "study.yaml"
    file.write_text(json.dumps({**study, "encoders": encoders, "evaluations": evaluations}))
    argv = ["success_predictors", str(file), "--resamples", "50"]
    monkeypatch.setattr(sys, "argv", argv)
    main()
    return json.loads(capsys.readouterr().out.splitlines()[-1])
