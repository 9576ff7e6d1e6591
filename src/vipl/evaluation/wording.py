"""How numbers and words read in a report."""

from collections.abc import Iterable

NOTHING = "\N{EN DASH}"  # in place of a number


def number(value: float) -> str:
    """Return a number in about three digits, with as many decimals as its neighbours in size."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-6:  # what solvers leave: no figure of its own
        return "0.000"
    if size < 0.001 or size >= 1e6:
        text = f"{value:.3g}"
    else:
        text = f"{value:,.{0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3}f}"
    return text.replace("-", "\N{MINUS SIGN}")


def percent(value: float, *, unit: bool = True) -> str:
    """Return a rate in whole per cent; only exactly none and all read as 0 and 100."""
    sign = "%" if unit else ""
    if 0 < value < 0.005:
        return f"<1{sign}"
    if 0.995 < value < 1:
        return f">99{sign}"
    return f"{100 * value:.0f}{sign}"


def plural(count: int, noun: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def join(words: Iterable[str]) -> str:
    """Return words as an enumeration."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def capital(text: str) -> str:
    """Return a text with a capital first letter."""
    return text[:1].upper() + text[1:]
