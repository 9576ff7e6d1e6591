"""The file of a run's figures, over several processes of the run."""

import csv

from vipl.training.resuming.metrics_file import MetricsFile


def read(path):
    with path.open() as file:
        return [{k: v for k, v in row.items() if v} for row in csv.DictReader(file)]


def test_rows_are_there_as_soon_as_they_are_logged(tmp_path):
    file = MetricsFile(tmp_path / "m" / "metrics.csv")
    file.log_metrics({"loss": 0.5}, step=1)
    file.log_metrics({"loss": 0.25, "bumps": 0.125}, step=2)
    assert read(file.path) == [
        {"loss": "0.5", "step": "1"},
        {"loss": "0.25", "bumps": "0.125", "step": "2"},
    ]


def test_a_run_that_goes_on_drops_later_rows_and_appends(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(path)
    for step in range(5):
        first.log_metrics({"loss": float(step)}, step=step)
    second = MetricsFile(path)
    assert second.rows == 5
    second.keep(3)
    second.log_metrics({"loss": 9.0, "new": 1.0}, step=3)
    assert [row["loss"] for row in read(path)] == ["0.0", "1.0", "2.0", "9.0"]
    assert (second.rows, read(path)[-1]["new"]) == (4, "1.0")


def test_half_a_row_is_dropped_with_those_after_it(tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text("loss,step\n1.0,0\n2.")
    file = MetricsFile(path)
    file.keep(1)
    file.log_metrics({"loss": 3.0}, step=1)
    assert read(path) == [{"loss": "1.0", "step": "0"}, {"loss": "3.0", "step": "1"}]


def test_a_new_folder_keeps_nothing(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    file.keep(7)
    assert file.rows == 0
    assert not file.path.exists()


def test_digits_are_not_lost(tmp_path):
    file = MetricsFile(tmp_path / "metrics.csv")
    value = 0.1 + 0.2
    file.log_metrics({"loss": value}, step=0)
    file.log_metrics({"loss": 1.0, "new": 2.0}, step=1)  # written again
    assert float(read(file.path)[0]["loss"]) == value
