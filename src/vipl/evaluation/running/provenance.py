"""What `run.json` says of a run: its suite, encoder and configuration, and where it was made."""

import os
import platform
import subprocess
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

import torch

import vipl
from vipl.evaluation.evaluator import Cell, Evaluator
from vipl.evaluation.results import FORMAT, FORMAT_VERSION
from vipl.evaluation.running.config import Settings
from vipl.evaluation.running.encoders import Encoders

_PACKAGES = (
    "vipl", "torch", "torchvision", "timm", "numpy", "mujoco", "gymnasium-robotics", "metaworld",
)  # fmt: skip


def describe_run(
    settings: Settings,
    evaluator: Evaluator,
    encoders: Encoders,
    cells: Sequence[Cell],
    *,
    command: str,
) -> dict[str, Any]:
    """Return the content of `run.json`, but for the run's own name.

    Args:
        settings: Of the run.
        evaluator: Built from them.
        encoders: Under test.
        cells: All that the run is to have.
        command: That was typed.
    """
    suite, cls = settings.suite, settings.suite.cls
    labels = evaluator.tasks()
    tasks = dict.fromkeys(cell.task for cell in cells)
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        "command": command,
        "suite": {
            "name": suite.name,
            "version": cls.version,
            "description": suite.description,
            "class": suite.reference,
        },
        "protocol": settings.protocol,
        "tasks": {task: labels.get(task, task) for task in tasks},
        "cameras": list(dict.fromkeys(cell.camera for cell in cells if cell.camera is not None)),
        "seeds": list(dict.fromkeys(cell.seed for cell in cells)),
        "higher_is_better": dict(cls.metrics_of(settings.protocol)),
        "graded": list(cls.graded),
        "labels": dict(cls.labels),
        "unit": cls.unit_of(settings.protocol),
        "plans": cls.plans(settings.protocol),
        "sampled_tasks": cls.sampled_tasks,
        "inputs": dict(evaluator.inputs()),
        "unheeded": list(settings.unheeded),
        "encoder": _describe(encoders),
        **pictures_of(evaluator, encoders.config),
        "config": settings.config,
        "cells": dict(Counter(cell.variant for cell in cells)),
        "git": _git_revision(),
        "packages": _packages(cls),
        "machine": _machine(),
    }


def _describe(encoders: Encoders) -> dict[str, Any]:
    only = encoders.only
    return {
        "source": encoders.source,
        "label": encoders.label,
        "sha256": only and only.sha256,
        "identity": encoders.identity,
        **({} if only else {"sha256s": encoders.sha256s}),
        **{name: value for name, value in encoders.config.items() if name != "pretrained"},
    }


def pictures_of(evaluator: Evaluator, config: Mapping[str, Any]) -> dict[str, str]:
    """Return what an encoder does to the pictures of a suite that says how large it draws them.

    Nothing where there is no such suite, or encoders that differ in it.
    """
    side = getattr(evaluator, "image_size", None)
    if not isinstance(side, int) or not {"image_size", "central_fraction", "own_size"} <= {*config}:
        return {}
    size, fraction = config["image_size"], config["central_fraction"]
    if side == size and (config["own_size"] == "kept" or fraction == 1):
        return {"pictures": f"{side} px, embedded as they are"}
    crop = "" if fraction == 1 else f", the central {size} cut out"
    return {"pictures": f"{side} px, resized to {round(size / fraction)}{crop}"}


def installed_version(package: str) -> str | None:
    """Return a package's version, or None where it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _packages(cls: type[Evaluator]) -> dict[str, str]:
    owners = packages_distributions().get(cls.__module__.partition(".")[0], [])
    found = {name: installed_version(name) for name in (*_PACKAGES, *owners)}
    return {name: number for name, number in found.items() if number is not None}


def _git_revision() -> str | None:
    """Return the revision of vipl's source, or None where it is not in a repository of its own."""
    source = Path(vipl.__file__)
    for arguments in (["ls-files", "--error-unmatch", source.name], ["rev-parse", "HEAD"]):
        try:
            done = subprocess.run(
                ["git", *arguments], cwd=source.parent, capture_output=True, text=True, check=True
            )
        except (OSError, subprocess.CalledProcessError):
            return None
    return done.stdout.strip()


def _machine() -> dict[str, Any]:
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": _cpu_name(), "cores": os.cpu_count(), "gpu": gpu}


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
