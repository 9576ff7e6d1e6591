"""What the folder of a run says of how its encoder was made."""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.compute as pc
import yaml

from vipl.data.manifests.manifest import read_manifest
from vipl.errors import UserError
from vipl.training.resuming.files import LAST, find
from vipl.training.resuming.recipe import MANIFEST_HASH, Recipe
from vipl.training.resuming.run_folder import CONFIG_FILE


@dataclass(frozen=True)
class Clips:
    """What was trained on.

    Attributes:
        train: Number of clips.
        val: Number that was held out.
        sources: Names of the data sets that they come from.
    """

    train: int
    val: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class RunRecord:
    """How an encoder was made.

    Attributes:
        steps: Optimiser steps.
        recipe: What determined the losses, see `resuming.recipe`; without the manifest's hash.
        manifest_sha256: Content hash of the manifest, None where the run did not note it.
        clips: None where the manifest is no longer where it was, or another.
    """

    steps: int
    recipe: Recipe
    manifest_sha256: str | None
    clips: Clips | None


def read_run(source: str | Path) -> RunRecord | None:
    """Read what a run says of its encoder.

    Args:
        source: The folder of a run, its `encoder/`, or one of its checkpoints.

    Returns:
        None where the source is none of these.
    """
    path = Path(source)
    if path.suffix == ".ckpt":
        folder, wanted = path.absolute().parent.parent, str(path)
    else:
        folder, wanted = (path.parent if path.name == "encoder" else path), LAST
    if not (folder / CONFIG_FILE).is_file():
        return None
    found = find(wanted, folder)
    if found is None:
        return None
    recipe: Recipe = dict(found.record["recipe"]) if found.record else {}
    digest = recipe.pop(MANIFEST_HASH, None)
    sha256 = digest if isinstance(digest, str) else None
    return RunRecord(found.step, recipe, sha256, _clips(folder / CONFIG_FILE, sha256))


def _clips(config: Path, sha256: str | None) -> Clips | None:
    content = yaml.safe_load(config.read_text())
    path = Path(str(content.get("data", {}).get("manifest")))
    try:
        manifest = read_manifest(path) if path.is_file() else None
    except UserError:  # it has changed: its numbers are not the run's
        return None
    if manifest is None or manifest.sha256 != sha256:
        return None
    splits = manifest.table.column("split").to_pylist()
    sources = pc.unique(manifest.table.column("source")).to_pylist()
    return Clips(splits.count("train"), splits.count("val"), tuple(sorted(filter(None, sources))))
