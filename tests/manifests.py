"""Building manifests as a user does, and what is said of it."""

import csv

from vipl.cli import main


def build(source, directory, out, *more):
    return main(["manifest", "build", source, str(directory), "--out", str(out), *more])


def words(capsys):
    """What was printed, and the last line of the errors."""
    captured = capsys.readouterr()
    return " ".join(captured.out.split()), " ".join(captured.err.strip().split("\n")[-1].split())


def unreadable(out):
    with out.with_suffix(".unreadable.csv").open() as file:
        return {row["path"]: row["reason"] for row in csv.DictReader(file)}
