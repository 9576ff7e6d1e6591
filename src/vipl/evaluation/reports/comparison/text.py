"""How the figures of a comparison read, on the screen and on its page."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from vipl.evaluation.intervals import Interval
from vipl.evaluation.reports.comparison.figures import MIN_CELLS, Against, Comparison
from vipl.evaluation.reports.data import Measure
from vipl.evaluation.wording import NOTHING, capital, join, percent, plural

_MAX_NAMES = 160  # characters of names in a sentence
ARROWS = {True: "\N{UPWARDS ARROW}", False: "\N{DOWNWARDS ARROW}"}


def full(measure: Measure, interval: Interval, *, separator: str = " ") -> str:
    """Return a mean with its interval, where there is one."""
    parts = measure.text(interval.mean), measure.interval(asdict(interval))
    return separator.join(filter(None, parts))


def signed(measure: Measure, interval: Interval, *, separator: str = " ") -> str:
    """Return a difference with its sign and interval; of rates it is in percentage points."""

    def text(value: float | None) -> str:
        if value is None:
            return NOTHING
        sign = "+" if value > 0 else "\N{MINUS SIGN}" if value < 0 else ""
        return sign + measure.text(abs(value), unit=False)

    limits = "" if interval.low is None else f"[{text(interval.low)}, {text(interval.high)}]"
    return separator.join(filter(None, (text(interval.mean), limits)))


def chance(interval: Interval, *, separator: str = " ") -> str:
    """Return a probability with its interval in per cent."""
    if interval.mean is None:
        return NOTHING
    limits = ""
    if interval.low is not None and interval.high is not None:
        limits = f"[{percent(interval.low, unit=False)}, {percent(interval.high, unit=False)}]"
    return separator.join(filter(None, (percent(interval.mean), limits)))


def probability(value: float) -> str:
    """Return a p in two digits."""
    return "<0.001" if value < 0.001 else f"{value:.2g}"


@dataclass(frozen=True)
class Setting:
    """A setting that differs: its key, and each value with the runs that have it."""

    key: str
    values: tuple[tuple[str, str], ...]


def settings(comparison: Comparison) -> list[Setting]:
    """Return the settings that differ."""
    found = []
    for key, values in comparison.settings.items():
        runs: dict[str, list[str]] = {}
        for label, value in zip(comparison.labels, values, strict=True):
            runs.setdefault(value, []).append(label)
        found.append(Setting(key, tuple((v, ", ".join(names)) for v, names in runs.items())))
    return found


def title(comparison: Comparison) -> str:
    """Return what is compared, in a line."""
    measure = comparison.measure
    direction = "higher" if measure.higher_is_better else "lower"
    runs = "both" if len(comparison.runs) == 2 else f"all {len(comparison.runs)}"
    return (
        f"{comparison.suite}: {measure.label}, {direction} is better, on "
        f"{plural(comparison.cells, 'cell')} of {plural(len(comparison.tasks), 'task')} that "
        f"{runs} runs have"
    )


def verdict(comparison: Comparison) -> str:
    """Return the outcome in two sentences: the best run, and what is told from the baseline."""
    measure, baseline = comparison.measure, comparison.runs[0].label
    means = [figures.mean.mean or 0.0 for figures in comparison.overall]
    best = max(means) if measure.higher_is_better else min(means)
    names = [label for label, mean in zip(comparison.labels, means, strict=True) if mean == best]
    what, extreme = capital(measure.label), "highest" if measure.higher_is_better else "lowest"
    if len(names) == len(means):
        first = f"{what}: {measure.text(best)} in every run."
    else:
        values = full(measure, comparison.overall[means.index(best)].mean)
        first = f"{what}: {extreme} in {_some(names)}, {values}."
    if comparison.cells < MIN_CELLS:
        cells = plural(comparison.cells, "cell")
        return f"{first} {cells} cannot tell runs apart: that takes {MIN_CELLS} or more."
    return f"{first} {_against(comparison, baseline)}"


def brackets(comparison: Comparison) -> str:
    """Return what the intervals in brackets are, by the names of those that are there."""
    ways = ["bootstrap"]
    if comparison.measure.binary:
        entries = [one for row in (comparison.overall, *comparison.by_task.values()) for one in row]
        means = [*(one.mean for one in entries), *(bound.mean for bound in comparison.bounds)]
        if any(mean.mean in (0, 1) and mean.low is not None for mean in means):
            ways.append("Wilson's where all episodes ended alike")
        pairs = [one.against for one in entries if one.against is not None]
        if any(_is_one_kind(pair) and pair.difference.low is not None for pair in pairs):
            ways.append("Newcombe's where all pairs differ alike")
    return f"In brackets: 95% intervals over episodes: {', '.join(ways)}."


def _is_one_kind(pair: Against) -> bool:
    """Whether all episodes of rates differ alike, so that nothing is to be resampled."""
    return [pair.better, pair.equal, pair.worse].count(0) == 2


def _against(comparison: Comparison, baseline: str) -> str:
    groups: dict[str | None, list[str]] = {}
    for label, figures in zip(comparison.labels[1:], comparison.overall[1:], strict=True):
        groups.setdefault(comparison.told_apart(figures), []).append(label)
    parts = [
        f"{_some(groups[how])} {_are(groups[how])} {how} than {baseline}"
        for how in ("better", "worse")
        if how in groups
    ]
    if unknown := groups.get(None):
        parts.append(f"{_some(unknown)} {_are(unknown)} not told apart from {baseline}")
    return f"{'; '.join(parts)} (sign-flip test of the paired differences, 5%)."


def _some(names: Sequence[str]) -> str:
    text = join(names)
    return text if len(text) <= _MAX_NAMES else f"{len(names)} runs"


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
