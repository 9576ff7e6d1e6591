"""Something-Something-V2: every labelled video is a clip.

The labels tell neither length nor size, so every file is opened; its packets are counted, which
takes milliseconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vipl.data.manifests.manifest import Clip
from vipl.data.manifests.splits import assign_splits, check_fraction, name_fingerprint
from vipl.data.manifests.text_files import Faults, plain_text, read_json
from vipl.data.manifests.walk import can_be_named
from vipl.data.sources.probing import DEFAULT_PROBING, Probing, open_all
from vipl.data.sources.report import SourceReport, first_existing, wrong_layout
from vipl.errors import UserError

_FILES = {"train": "train.json", "val": "validation.json", "test": "test.json"}
_PREFIX = "something-something-v2-"
_LABELS = ("labels", "annotations", ".")
_VIDEOS = ("20bn-something-something-v2", "videos", ".")
_SUFFIX = ".webm"
_DIGITS = 20  # from which on a name is no number


def build_ssv2(
    directory: Path,
    *,
    labels: Path | None = None,
    val_fraction: float = 0.1,
    probe: bool = False,
    allow_missing: bool = False,
    probing: Probing = DEFAULT_PROBING,
) -> SourceReport:
    """Make a clip of every labelled video of Something-Something-V2.

    Args:
        directory: That holds `20bn-something-something-v2/<id>.webm` and `labels/train.json`.
        labels: Folder of `train.json` and `validation.json` (or
            `something-something-v2-train.json`), if it is elsewhere.
        val_fraction: Held out where `validation.json` is missing.
        probe: Decode every video, and put decord to the test.
        allow_missing: Build although videos are not there; they are left out.
        probing: How videos are opened.

    Raises:
        UserError: If the folder is laid out otherwise, videos are missing, or no clip results.
    """
    check_fraction(val_fraction)
    files = _label_files(directory, labels)
    root = next((d for n in _VIDEOS if next((d := directory / n).glob(f"*{_SUFFIX}"), None)), None)
    if root is None:
        looked_for = [f"{name}/<id>{_SUFFIX}".removeprefix("./") for name in _VIDEOS]
        raise wrong_layout(directory, "Something-Something-V2", looked_for)
    report = SourceReport(root, layout=f"Something-Something-V2 (<id>{_SUFFIX}, JSON labels)")
    rows = {split: list(_read(file, report.unreadable)) for split, file in files.items()}
    report.left_out["videos of test.json, which have no label"] += len(rows.pop("test", ()))
    text = {str(row["id"]): plain_text(row.get("label")) for g in rows.values() for row in g}
    present = {path.stem for path in root.glob(f"*{_SUFFIX}")}
    report.looked_for = len(text)
    report.missing = [f"{name}{_SUFFIX}" for name in sorted(text) if name not in present]
    report.require_files(allow_missing=allow_missing)
    paths = [root / f"{name}{_SUFFIX}" for name in sorted(text, key=_numeric) if name in present]
    infos = open_all(
        paths, report, probing, thorough=probe,
    )  # fmt: skip
    splits = _splits(rows, {path.stem for path in infos}, val_fraction=val_fraction)
    report.clips = [
        Clip(
            clip_id=path.stem,
            path=path.name,
            start_frame=0,
            end_frame=infos[path].num_frames,
            fps=infos[path].fps_hz,
            width=infos[path].width,
            height=infos[path].height,
            split=splits[path.stem],
            source="ssv2",
            label=text[path.stem],
            decoder=infos[path].decoder,
        )
        for path in paths
        if path in infos
    ]
    report.require_clips(str(root))
    return report


def _label_files(directory: Path, labels: Path | None) -> dict[str, Path]:
    folders = [labels] if labels else [directory / name for name in _LABELS]
    for folder in folders:
        files = {
            split: file
            for split, name in _FILES.items()
            if (file := first_existing(folder, (name, f"{_PREFIX}{name}")))
        }
        if "train" in files or "val" in files:
            return files
    looked_for = [f"{folder}/{_FILES['train']}".removeprefix("./") for folder in _LABELS]
    remedy = "name the folder by --labels"
    if labels:
        raise wrong_layout(labels, "Something-Something-V2's labels", list(_FILES.values()))
    raise wrong_layout(directory, "Something-Something-V2", looked_for, remedy=remedy)


def _read(file: Path, faults: Faults) -> Iterator[dict[str, Any]]:
    """Yield the videos of a file of labels; those without a name go to the faults."""
    rows = read_json(file)
    named = [isinstance(row, dict) and _is_name(row.get("id")) for row in _list(rows)]
    if not isinstance(rows, list) or (rows and not any(named)):
        raise UserError(f"{file} is not a list of videos, expected [{{id, label, …}}, …]")
    for number, (row, good) in enumerate(zip(rows, named, strict=True), start=1):
        if good:
            yield row
        else:
            faults.append((f"{file.name}, video {number}", "it has no id that can name a file"))


def _list(rows: object) -> list[Any]:
    return rows if isinstance(rows, list) else []


def _is_name(value: object) -> bool:
    if isinstance(value, int) and not isinstance(value, bool):
        return 0 <= value < 2**63
    plain = isinstance(value, str) and value not in ("", ".", "..")
    return plain and "/" not in str(value) and can_be_named(str(value))


def _splits(
    rows: Mapping[str, Sequence[dict[str, Any]]], wanted: set[str], *, val_fraction: float
) -> dict[str, str]:
    names = {split: [str(row["id"]) for row in group] for split, group in rows.items()}
    if "val" in names:
        return {name: split for split, group in names.items() for name in group}
    return assign_splits({name: name_fingerprint(name) for name in wanted}, val_fraction)


def _numeric(name: str) -> tuple[int, str]:
    """Order 9 before 10."""
    return (int(name) if name.isdecimal() and len(name) < _DIGITS else 0), name
