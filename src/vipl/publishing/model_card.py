"""The model card of an encoder: what it is, how it was made, how good it is, how to load it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from vipl._version import __version__
from vipl.errors import UserError
from vipl.evaluation.evaluator import MAIN
from vipl.models import zoo
from vipl.models.encoder import Encoder
from vipl.models.identity import encoder_sha256
from vipl.publishing.run_record import RunRecord, read_run

_HUB_LICENCES = {"mit", "apache-2.0", "bsd-3-clause", "cc-by-nc-4.0", "cc-by-4.0"}
_TAGS = ["image-encoder", "value-implicit-pre-training", "reward", "robotics"]


def model_card(
    encoder: Encoder,
    source: str,
    repository: str,
    *,
    results: Path | None = None,
    licence: str | None = None,
) -> str:
    """Return an encoder's README.md: YAML for the hub, then text.

    Paths of the machine do not enter it.

    Args:
        encoder: That is published.
        source: Where it was loaded from; the folder of a run says how it was made.
        repository: OWNER/NAME on the hub.
        results: Folder of an evaluation of this encoder, by `vipl eval`.
        licence: As the hub spells it; by default a released encoder's own, else "other".

    Raises:
        UserError: If the results are none, or of another encoder.
    """
    released = zoo.entries().get(source)
    if licence is None and released is not None and released.licence.lower() in _HUB_LICENCES:
        licence = released.licence.lower()
    head = {
        "license": licence or "other",
        "library_name": "vipl",
        "pipeline_tag": "image-feature-extraction",
        "tags": _TAGS,
    }
    parts = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {repository.partition('/')[2]}\n",
        _about(encoder),
        _loading(encoder, repository),
    ]
    if released is not None:
        parts.append(f"## Origin\n\n{released.paper}; its licence: {released.licence}.\n")
    record = read_run(source)
    if record is not None:
        parts.append(_training(record))
    if results is not None:
        parts.append(_evaluation(encoder, results))
    return "\n".join(parts)


def _about(encoder: Encoder) -> str:
    mean, std = (", ".join(f"{x:g}" for x in encoder.config[key]) for key in ("mean", "std"))
    scaled, size = encoder.scaled_side, encoder.image_size
    target = f"a short side of {scaled}" if encoder.keep_aspect else f"{scaled} x {scaled}"
    kept = f" Those of {size} x {size} are kept as they are." if encoder.own_size == "kept" else ""
    million = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    return (
        f"An image encoder: {encoder.config['backbone']} with {million:.1f} million parameters and "
        f"{encoder.output_dim}-dimensional embeddings, whose distance ({encoder.distance}) to a "
        "goal's embedding is meant as a reward.\n\n"
        f"Images are resized to {target} pixels ({encoder.interpolation}, antialiased), cropped "
        f"to the central {size} x {size}, scaled to [0, 1] and normalised by mean {mean} and "
        f"standard deviation {std}.{kept} `embed` does all of this.\n"
    )


def _loading(encoder: Encoder, repository: str) -> str:
    return (
        "## Loading it\n\n```python\nimport torch\nimport vipl\n\n"
        f'encoder = vipl.load_encoder("hf:{repository}")\n'
        "images = torch.zeros(2, 3, 480, 640, dtype=torch.uint8)  # of any size\n"
        f"embeddings = encoder.embed(images)  # float32 [2, {encoder.output_dim}]\n```\n\n"
        f"Or `vipl pull {repository} --out encoder`. The weights are safetensors, the "
        f"configuration is JSON. Written by vipl {__version__}.\n"
    )


def _training(record: RunRecord) -> str:
    lines = ["## Training\n", f"- Steps: {record.steps:,}"]
    if record.clips is not None:
        sources = f"; from {', '.join(record.clips.sources)}" if record.clips.sources else ""
        lines.append(
            f"- Clips: {record.clips.train:,} to train on, {record.clips.val:,} held out{sources}"
        )
    if record.manifest_sha256 is not None:
        lines.append(f"- Content hash of the manifest: `{record.manifest_sha256}`")
    if record.recipe:
        lines += ["\n<details><summary>Recipe</summary>\n", "| key | value |", "| --- | --- |"]
        lines += [f"| {key} | {_cell(value)} |" for key, value in record.recipe.items()]
        lines.append("\n</details>")
    return "\n".join(lines) + "\n"


def _cell(value: object) -> str:
    return f"`{json.dumps(value)}`".replace("|", "\\|")


def _evaluation(encoder: Encoder, folder: Path) -> str:
    run, summary = (_read(folder / name) for name in ("run.json", "summary.json"))
    try:
        if run["encoder"]["sha256"] != encoder_sha256(encoder):
            raise UserError(
                f"{folder} holds the results of another encoder ({run['encoder']['source']}): "
                "evaluate this one by `vipl eval`, or leave out --results"
            )
        return "\n".join(_table(run, summary)) + "\n"
    except (KeyError, TypeError, AttributeError, StopIteration) as error:
        raise UserError(f"{folder} is not a results folder that can be read: {error!r}") from error


def _table(run: dict[str, Any], summary: dict[str, Any]) -> Iterator[str]:
    metric = next(iter(run["higher_is_better"]))
    confidence = f"{summary['confidence']:.0%}"
    yield "## Evaluation\n"
    yield (
        f"Suite {run['suite']['name']}, version {run['suite']['version']}; protocol "
        f"{run['protocol']}; {len(run['seeds'])} seeds. The mean of {metric} and its {confidence} "
        "interval:\n"
    )
    yield "| of | mean | interval | episodes | failed |"
    yield "| --- | --- | --- | --- | --- |"
    for variant, content in summary["variants"].items():
        entries = content["metrics"][metric]
        name = "this encoder" if variant == MAIN else variant
        yield _row(name, entries["overall"])
        for task, entry in entries["tasks"].items() if variant == MAIN else ():
            yield _row(f"this encoder, {task}", entry)


def _row(name: str, entry: dict[str, Any]) -> str:
    numbers = ["" if entry[key] is None else f"{entry[key]:.3f}" for key in ("mean", "low", "high")]
    interval = f"{numbers[1]} to {numbers[2]}" if numbers[1] else ""
    return f"| {name} | {numbers[0]} | {interval} | {entry['n']} | {entry['failed']} |"


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be read as results: --results names the folder of one evaluation, "
            "with run.json and summary.json"
        ) from error
    return content
