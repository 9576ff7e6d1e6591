"""What `run.json` says of a run: which run it is, and whether two are the same."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vipl.errors import UserError
from vipl.evaluation.earlier_keys import as_before, as_now
from vipl.files import write_atomically
from vipl.names import plain

RUN_FILE = "run.json"

_NOT_COMPARED = frozenset({"suite", "encoder", "workers", "launcher", "device", "out", "run_id"})


def default_run_id(run: Mapping[str, Any]) -> str:
    """Return a name for a run's folder: the same for the same run, another for another."""
    protocol, config = run["protocol"], dict(run["config"])
    config.update(as_before(protocol, config.pop(protocol)) if protocol in config else {})
    text = json.dumps(_identifying({**run, "config": config}), sort_keys=True)
    setting = run["config"].get("setting")
    how = setting if isinstance(setting, str) else run["protocol"]
    return f"{plain(run['encoder']['label'])}-{how}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def claim_run_file(folder: Path, run: Mapping[str, Any]) -> None:
    """Write `run.json`, or check that the one that is there is of the same run.

    Raises:
        UserError: If the folder holds another evaluation; it says what differs.
    """
    path = folder / RUN_FILE
    if not path.is_file():
        text = json.dumps(run, indent=2) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text))
        return
    try:
        there = identifying_settings(json.loads(path.read_text()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not a run that can be read: choose another --run-id") from error
    here = identifying_settings(run)
    differences = [
        f"{name} is {json.dumps(there.get(name))} there and {json.dumps(here.get(name))} here"
        for name in sorted({*there, *here})
        if there.get(name) != here.get(name)
    ]
    if differences:
        raise UserError(
            f"{folder} holds another evaluation: {', '.join(differences)}; choose another --run-id"
        )


def identifying_settings(run: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two runs must share to be one, flat: `trajopt.samples` is one key."""
    return _identifying({**run, "config": as_now(run.get("protocol", ""), run["config"])})


def _identifying(run: Mapping[str, Any]) -> dict[str, Any]:
    ignored = _NOT_COMPARED.union(run.get("unheeded", ()))
    config = {key: value for key, value in run["config"].items() if key not in ignored}
    return {
        "suite": f"{run['suite']['name']}-v{run['suite']['version']}",
        "encoder": run["encoder"]["identity"],
        "mujoco": run["packages"].get("mujoco"),
        **dict(_flatten(config)),
        **dict(_flatten({"inputs": run.get("inputs", {})})),
    }


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
