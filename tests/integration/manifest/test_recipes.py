"""Recipes: `vipl manifest build --recipe FILE`, and every one that ships."""

from pathlib import Path

import pytest

from tests import ROOT
from tests.fixtures import media
from tests.fixtures.datasets import UIDS, ego4d_video, narrations, write_clip, write_ego4d
from vipl.cli import main, make_parser
from vipl.data.manifests.manifest import read_manifest, read_sidecar
from vipl.data.sources.arguments import SOURCES, settings_of
from vipl.data.sources.recipes import read_recipe
from vipl.errors import UserError

RECIPES = ROOT / "data_manifests"


def test_there_is_one_for_every_source():
    assert {file.stem for file in RECIPES.glob("*.yaml")} == set(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_it_is_what_the_command_does_by_default(source):
    """Parsed by the command's own parser, and equal to the bare command."""
    recipe = read_recipe(str(RECIPES / f"{source}.yaml"), ["directory=/data/there"])
    bare = ["manifest", "build", source, "/data/there", "--out", f"{source}.parquet"]
    command = make_parser().parse_args(bare)
    assert settings_of(recipe) == settings_of(command)
    for name in ("source", "directory", "out"):
        assert getattr(recipe, name) == getattr(command, name)


def test_the_root_comes_from_the_environment_or_the_command(monkeypatch):
    file = str(RECIPES / "ego4d.yaml")
    monkeypatch.setenv("EGO4D_ROOT", "/mnt/ego4d")
    assert read_recipe(file, []).directory == Path("/mnt/ego4d")
    assert read_recipe(file, ["directory=/home/me"]).directory == Path("/home/me")
    monkeypatch.delenv("EGO4D_ROOT")
    assert read_recipe(file, ["directory=/home/me"]).directory == Path("/home/me")
    message = "directory: Environment variable 'EGO4D_ROOT' not found: say directory=…"
    with pytest.raises(UserError, match=message):
        read_recipe(file, [])


def test_a_recipe_builds_what_the_command_builds(tmp_path, monkeypatch, capsys):
    uid = UIDS[0]
    narrated = {uid: {"narration_pass_1": narrations(3.0, 9.0)}}
    root = write_ego4d(tmp_path / "data", [ego4d_video(uid)], narrated)
    write_clip(root / "full_scale" / f"{uid}.mp4")
    monkeypatch.setenv("EGO4D_ROOT", str(tmp_path / "data"))
    out = tmp_path / "recipe.parquet"
    recipe = ["manifest", "build", "--recipe", str(RECIPES / "ego4d.yaml"), f"out={out}"]
    assert main([*recipe, "after_seconds=4", "allow_missing=true"]) == 0
    command = ["manifest", "build", "ego4d", str(tmp_path / "data"), "--after-seconds", "4"]
    assert main([*command, "--out", str(tmp_path / "command.parquet")]) == 0
    shas = {read_manifest(tmp_path / f"{n}.parquet").sha256 for n in ("recipe", "command")}
    assert len(shas) == 1
    assert read_sidecar(out)["recipe"]["after_seconds"] == 4.0
    assert main(["manifest", "build"]) == 2
    assert "which source? name folder, frames, ego4d" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "overrides", "message"),
    [
        (None, [], "there is no configuration file"),
        ("directory: x\nout: m.csv", [], "does not name its source: add source=…"),
        ("source: folder\nout: m.csv", [], "does not name its directory: add directory=…"),
        ("source: ego5d\ndirectory: x\nout: m.csv", [], "no source 'ego5d': expected ego4d"),
        (
            "source: ego4d\ndirectory: x\nout: m.csv",
            ["befor_seconds=2"],
            "no option of the source ego4d 'befor_seconds': expected before_seconds",
        ),
        (
            "source: folder\ndirectory: x\nout: m.csv",
            ["clip_seconds=long"],
            "recipe: argument --clip-seconds: invalid float value: 'long'",
        ),
        (
            "source: ssv2\ndirectory: x\nout: m.csv",
            ["probe=maybe"],
            "recipe: probe is 'maybe', expected true or false",
        ),
    ],
)
def test_recipes_that_are_none(tmp_path, content, overrides, message):
    file = tmp_path / "recipe.yaml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=message):
        read_recipe(str(file), overrides)


def test_a_folder_of_videos_by_recipe(tmp_path):
    media.write_video(tmp_path / "v" / "a.mp4", media.moving_square(12))
    out = tmp_path / "m.csv"
    recipe = ["manifest", "build", "--recipe", str(RECIPES / "folder.yaml")]
    assert main([*recipe, f"directory={tmp_path / 'v'}", f"out={out}", "workers=1"]) == 0
    assert len(read_manifest(out)) == 1
