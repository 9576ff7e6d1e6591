"""The part of a report that shows episodes: the best and the worst of the encoder under test."""

import base64
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vipl.evaluation.evaluator import MAIN
from vipl.evaluation.reports.data import Measure, Results
from vipl.evaluation.reports.statistics import metric_of
from vipl.evaluation.results import Record, file_of
from vipl.evaluation.wording import number

_EACH = 3
_MAX_BYTES = 700_000  # of a video, so that six stay below 6 MB once they are text
_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}


@dataclass(frozen=True)
class Video:
    """An episode: its name, how it ended, and the video as a data URI."""

    name: str
    place: str
    result: str
    solved: bool | None
    uri: str


@dataclass(frozen=True)
class Videos:
    """The best and the worst episodes, and how many have no video that can be shown."""

    best: tuple[Video, ...]
    worst: tuple[Video, ...]
    missing: int


def videos(results: Results) -> Videos | None:
    """Return the best and worst episodes, or None where none was to have a video.

    Episodes are ordered by the primary metric, then by the first metric of which less is better.
    Each task shows its best before any shows its second best; the worst likewise.
    """
    records = [record for record in results.of(MAIN) if record.video is not None]
    if not records:
        return None
    shown = [record for record in records if _file(results, record) is not None]
    ordered = sorted(shown, key=lambda record: _badness(results, record))
    best = _varied(ordered)[: min(_EACH, (len(ordered) + 1) // 2)]
    rest = [record for record in reversed(ordered) if record not in best]
    worst = _varied(rest)[:_EACH]
    return Videos(
        tuple(_video(results, record) for record in best),
        tuple(_video(results, record) for record in worst),
        len(records) - len(shown),
    )


def _badness(results: Results, record: Record) -> tuple[float, ...]:
    order = [results.primary, *_tie_breakers(results)]
    values = [(measure, metric_of(record, measure.name)) for measure in order]
    return tuple(
        float("inf") if value is None else -value if measure.higher_is_better else value
        for measure, value in values
    )


def _tie_breakers(results: Results) -> list[Measure]:
    return [measure for measure in results.measures[1:] if not measure.higher_is_better][:1]


def _varied(records: Iterable[Record]) -> list[Record]:
    """Return records with every task's first before any task's second."""
    seen: Counter[str] = Counter()
    ranked = []
    for record in records:
        ranked.append((seen[record.task], record))
        seen[record.task] += 1
    return [record for _, record in sorted(ranked, key=lambda pair: pair[0])]


def _file(results: Results, record: Record) -> Path | None:
    """Return the record's video, or None if it is lost, too large or not in the folder."""
    path = file_of(results.folder, str(record.video))
    known = path is not None and path.suffix in _TYPES
    return path if known and path and 0 < path.stat().st_size <= _MAX_BYTES else None


def _video(results: Results, record: Record) -> Video:
    path = _file(results, record)
    assert path is not None
    place = [] if record.camera is None else [record.camera]
    values = [(m, metric_of(record, m.name)) for m in _captions(results)]
    return Video(
        name=record.task,
        place=" · ".join([*place, f"seed {record.seed}"]),
        result=", ".join(f"{m.label} {number(v)}" for m, v in values if v is not None),
        solved=results.solved(record),
        uri=f"data:{_TYPES[path.suffix]};base64,{base64.b64encode(path.read_bytes()).decode()}",
    )


def _captions(results: Results) -> list[Measure]:
    primary = [] if results.primary.binary else [results.primary]
    return [*primary, *_tie_breakers(results)]
