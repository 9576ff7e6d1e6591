"""Where settings of protocols stood before they stood under the protocol's name.

Version 0.1 had the sections `planner`, `dataset`, `policy` and `online` for all protocols. They are
still read, in configurations and in run folders, and records are told apart by them: so those of
that version are found again.
"""

from collections.abc import Collection, Mapping
from typing import Any, TypeAlias

Config: TypeAlias = dict[str, Any]

DATASET = "dataset"

EARLIER: Mapping[str, Mapping[str, str | None]] = {
    "trajopt": {"planner": None},
    "offline_rl": {"policy": None, "dataset": DATASET},
    "imitation": {"policy": None, "dataset": DATASET},
    "online_rl": {"online": None},
    "correlation": {"dataset": DATASET},
    "gain": {"planner": None, "dataset": DATASET},
}
"""Protocol to its sections of then, and the field of its settings that they are now, None: all."""


EARLIER_UNITS: Mapping[str, str] = {
    "offline_rl": "training",
    "imitation": "training",
    "online_rl": "training",
    "correlation": "data set",
    "gain": "data set",
}
"""Protocol to what its runs are called, which the runs of version 0.1 do not say."""


def renames(protocols: Collection[str], taken: Collection[str] = ()) -> dict[str, list[str]]:
    """Return the sections of then, and the keys that each has become.

    Args:
        protocols: That have settings.
        taken: Names that mean something else in this suite.
    """
    found: dict[str, list[str]] = {}
    for protocol, sections in EARLIER.items():
        for section, field in sections.items():
            if protocol in protocols and section not in taken:
                key = protocol if field is None else f"{protocol}.{field}"
                found.setdefault(section, []).append(key)
    return found


def as_before(protocol: str, settings: Mapping[str, Any]) -> Config:
    """Return the settings of a protocol in the sections of then, where it had any.

    Args:
        protocol: Its name.
        settings: What stands under its name, as JSON values.
    """
    rest, sections = dict(settings), {}
    earlier = EARLIER.get(protocol, {protocol: None})
    for section, field in earlier.items():
        if field is not None:
            sections[section] = rest.pop(field, {})
    for section, field in earlier.items():
        if field is None:
            sections[section] = rest
    return sections


def as_now(protocol: str, config: Mapping[str, Any]) -> Config:
    """Return the configuration of a run of then as it is written now.

    Args:
        protocol: Of the run.
        config: Of its `run.json`; one that is written as now is returned as it is.
    """
    earlier = EARLIER.get(protocol, {})
    if (
        not earlier
        or protocol in config
        or not all(isinstance(config.get(one), dict) for one in earlier)
    ):
        return dict(config)
    others = {section for sections in EARLIER.values() for section in sections}
    settings: Config = {}
    for section, field in earlier.items():
        settings.update(config[section] if field is None else {field: config[section]})
    kept = {name: value for name, value in config.items() if name not in others}
    return {**kept, protocol: settings}


def described(run: Mapping[str, Any]) -> Config:
    """Return a `run.json` with what one of version 0.1 does not say of its protocol."""
    protocol = run.get("protocol", "trajopt")
    if "plans" in run:
        return dict(run)
    unit = EARLIER_UNITS.get(protocol, run.get("unit") or "episode")
    return {**run, "unit": unit, "plans": protocol not in EARLIER_UNITS}
