"""The report of an evaluation: `summary.json`, and `report.html`, one file that opens offline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vipl.evaluation.evaluator import MAIN, ORACLE, RANDOM
from vipl.evaluation.reports import correlation, learning, success, traces
from vipl.evaluation.reports.data import Measure, Results, read_results
from vipl.evaluation.reports.pages import render_page, write_page
from vipl.evaluation.reports.samples import samples
from vipl.evaluation.reports.videos import videos
from vipl.evaluation.results import Record
from vipl.evaluation.wording import capital, join, plural
from vipl.files import write_atomically

SUMMARY_FILE = "summary.json"
REPORT_FILE = "report.html"

_MAX_ERROR = 2000  # characters of an error's text that are shown
_MAX_FAILURES = 20


@dataclass(frozen=True)
class Failure:
    """An error, and the cells that ended in it."""

    error: str
    cells: tuple[str, ...]


def write_report(folder: Path) -> Path:
    """Write `summary.json` and `report.html` from a results folder's `run.json` and records.

    It can be called at any time: missing and failed cells are shown as such.

    Args:
        folder: results/<suite>-v<version>/<run_id>.

    Returns:
        The path of `report.html`.

    Raises:
        UserError: If the folder has no `run.json` that can be read.
    """
    results = read_results(folder)
    summary = json.dumps(results.summary, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / SUMMARY_FILE, lambda path: path.write_text(summary))
    report = folder / REPORT_FILE
    write_page(report, render(results))
    return report


def render(results: Results) -> str:
    """Return the page."""
    parts = _sampled_parts(results) if results.sampled else _control_parts(results)
    return render_page(
        "report.html.jinja",
        results=results,
        run=results.run,
        primary=results.primary,
        verdict=verdict(results),
        progress=results.summary["cells"],
        videos=videos(results),
        failures=failures(results.records),
        max_failures=_MAX_FAILURES,
        made=how_it_was_made(results),
        config=json.dumps(results.run.get("config", {}), indent=2, ensure_ascii=False),
        **parts,
    )


def _control_parts(results: Results) -> dict[str, Any]:
    """Return what a page shows of tasks that count one by one."""
    return {
        "comparison": success.comparison(results),
        "table": success.task_table(results),
        "budgets": success.budgets(results),
        "learning": learning.learning(results),
        "goal": success.goal_control(results),
        "errors": traces.errors(results),
        "distances": traces.distances(results),
        "agreement": correlation.agreement(results),
        "samples": None,
    }


def _sampled_parts(results: Results) -> dict[str, Any]:
    """Return what a page shows of tasks that are a sample; its metrics compare the goals, too."""
    absent = dict.fromkeys(("budgets", "learning", "goal", "errors", "distances", "agreement"))
    return {**absent, "samples": samples(results)}


def verdict(results: Results) -> str:
    """Return the outcome in one sentence."""
    measure, entry = results.primary, results.entry(MAIN)
    finished = results.summary["cells"].get(MAIN, {}).get("finished", 0)
    if not finished:
        return f"No {measure.unit} has finished yet."
    if entry["mean"] is None:
        known = {one.undefined.get(measure.name) for one in results.of(MAIN)}
        reasons = sorted(filter(None, known))
        why = f", as {' and '.join(reasons)}" if reasons else ""
        return f"None of {plural(finished, f'finished {measure.unit}')} gave a result{why}."
    runs = plural(entry["n"], measure.unit)
    if measure.binary:
        what = "Solved" if measure.name == "success" else f"{capital(measure.label)} in"
        text = f"{what} {entry['hits']} of {runs} ({_rate(measure, entry)})"
    else:
        text = f"{capital(measure.label)} {measure.full(entry)} over {runs}"
    controls = [
        f"{name} {measure.text(results.entry(variant)['mean'])}"
        for variant, name in ((ORACLE, "oracle"), (RANDOM, "untrained floor"))
        if results.entry(variant)["mean"] is not None
    ]
    return "; ".join([text, *([", ".join(controls)] if controls else [])]) + "."


def _rate(measure: Measure, entry: Mapping[str, Any]) -> str:
    """Return a rate, saying where it is not the episodes' own: tasks have more or fewer of them."""
    own = measure.text(entry["hits"] / entry["n"])
    mean = measure.full(entry)
    return mean if own == measure.text(entry["mean"]) else f"mean over tasks {mean}"


def failures(records: Sequence[Record]) -> list[Failure]:
    """Return the errors that cells ended in, the commonest first."""
    cells: dict[str, list[str]] = {}
    for record in records:
        if record.error is not None:
            parts = [record.variant, record.task, record.camera, f"seed {record.seed}"]
            place = " · ".join(part for part in parts if part is not None)
            cells.setdefault(record.error[:_MAX_ERROR], []).append(place)
    found = [Failure(error, tuple(places)) for error, places in cells.items()]
    return sorted(found, key=lambda failure: -len(failure.cells))


def how_it_was_made(results: Results) -> dict[str, str]:
    """Return what a reader needs to judge and repeat the evaluation, as names and texts."""
    run = results.run
    suite, encoder = run.get("suite", {}), run.get("encoder", {})
    seconds = sum(record.seconds or 0 for record in results.records)
    facts = {
        "suite": f"{suite.get('name')} version {suite.get('version')} ({suite.get('class')})",
        "encoder": encoder.get("source"),
        "encoder sha256": encoder.get("sha256"),
        "backbone": encoder.get("backbone"),
        "pictures": run.get("pictures"),
        f"{results.unit if results.sampled else 'task'}s": str(len(results.tasks)),
        **run.get("inputs", {}),
        "cameras": join(results.cameras) if results.cameras else None,
        "seeds": join(str(seed) for seed in run.get("seeds") or ()) or None,
        "git revision": run.get("git"),
        "packages": _pairs(run.get("packages", {})),
        "machine": _pairs(run.get("machine", {})),
        "started": run.get("created"),
        "time": f"{duration(seconds)} in {plural(len(results.records), 'cell')}, added up",
    }
    return {name: str(value) for name, value in facts.items() if value}


def duration(seconds: float) -> str:
    """Return a time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items() if value is not None)
