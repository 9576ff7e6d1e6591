"""Encoders to and from a hub: a stand-in on this machine."""

import json
import re
import shutil
import socket
import sys

import huggingface_hub
import pytest
import torch
import yaml

from tests import ROOT
from tests.fixtures import hub_server, runs
from vipl import load_encoder, save_encoder
from vipl.cli import main
from vipl.data.manifests.manifest import read_manifest
from vipl.errors import UserError
from vipl.models.encoder import Encoder


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that nobody has written to, and a user who is logged in."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
    with hub_server.Hub() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        yield running


@pytest.fixture(scope="module")
def run(tiny_manifest, tmp_path_factory):
    """A run of two steps."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vipl.rewards.plots.plot_held_out", runs.draw_nothing)
        assert main(runs.command(tiny_manifest, folder, "trainer.max_steps=2")) == 0
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder's folder, with no run about it."""
    torch.manual_seed(0)
    return save_encoder(Encoder("test_resnet", output_dim=8), tmp_path_factory.mktemp("encoder"))


IMAGES = torch.randint(
    0, 256, (2, 3, 50, 70), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
)


@pytest.fixture(scope="module")
def results(run, tmp_path_factory):
    """What `vipl eval` says of the run's encoder, on a toy suite."""
    place = tmp_path_factory.mktemp("results")
    shutil.copy(ROOT / "tests/fixtures/toy_suite.py", place)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr(sys, "path", list(sys.path))
        suite = ["--suite", "toy_suite:Toy", "--workers", "0"]
        chosen = ["tasks=left", "seeds=[0,1]", "budgets=8"]
        assert main(["eval", *suite, "--encoder", str(run), *chosen]) == 0
    sys.modules.pop("toy_suite", None)
    (folder,) = (place / "results" / "toy_suite.Toy-v3").iterdir()
    return folder


def test_a_run_goes_up_and_comes_down(hub, run, results, tiny_manifest, tmp_path, capsys):
    push = ["push", str(run), "me/tiny", "--private", "--results", str(results)]
    assert main([*push, "--licence", "mit"]) == 0
    assert f"{hub.url}/me/tiny/commit/" in capsys.readouterr().out
    assert set(hub.files("me/tiny")) == {"config.json", "model.safetensors", "README.md"}
    assert hub.repositories["me/tiny"].private
    assert main(["pull", "me/tiny", "--out", str(tmp_path / "pulled")]) == 0
    expected = load_encoder(run).embed(IMAGES)
    for source in (tmp_path / "pulled", "hf:me/tiny", "hf:me/tiny@main"):
        assert torch.equal(load_encoder(source).embed(IMAGES), expected)
    card = (tmp_path / "pulled" / "README.md").read_text()
    _, head, text = card.split("---\n", 2)
    assert yaml.safe_load(head)["license"] == "mit"
    assert yaml.safe_load(head)["library_name"] == "vipl"
    assert "- Steps: 2\n" in text
    assert "- Clips: 8 to train on, 4 held out; from folder\n" in text
    assert read_manifest(tiny_manifest).sha256 in text
    assert '| model.encoder.backbone | `"test_resnet"` |' in text
    assert "Suite toy_suite.Toy, version 3; protocol " in text
    overall = json.loads((results / "summary.json").read_text())["variants"]["main"]
    mean = overall["metrics"]["success"]["overall"]["mean"]
    assert re.search(rf"^\| this encoder \| {mean:.3f} \| .* to .* \| 4 \| 0 \|$", text, re.M)
    assert re.search(r"^\| oracle \| ", text, re.M)
    assert 'load_encoder("hf:me/tiny")' in text
    assert str(tmp_path.parent) not in card
    assert str(tiny_manifest.parent) not in card


def test_a_checkpoint_says_its_own_step(hub, run):
    assert main(["push", str(run / "checkpoints" / "last.ckpt"), "me/tiny"]) == 0
    assert "- Steps: 2\n" in hub.files("me/tiny")["README.md"].decode()
    assert main(["push", str(run / "encoder_initial"), "me/initial"]) == 0
    assert "Steps" not in hub.files("me/initial")["README.md"].decode()


def test_a_commit_stays_what_it_was(hub, folder, run):
    assert main(["push", str(folder), "me/tiny"]) == 0
    first = hub.repositories["me/tiny"].head
    assert main(["push", str(run), "me/tiny"]) == 0
    expected = load_encoder(folder).embed(IMAGES)
    assert torch.equal(load_encoder(f"hf:me/tiny@{first}").embed(IMAGES), expected)
    assert not torch.equal(load_encoder("hf:me/tiny").embed(IMAGES), expected)


def test_results_of_another_encoder_are_refused(hub, run, folder, results, tmp_path, capsys):
    assert main(["push", str(folder), "me/tiny", "--results", str(results)]) == 2
    assert f"holds the results of another encoder ({run})" in _one_line(capsys)
    assert main(["push", str(run), "me/tiny", "--results", str(tmp_path)]) == 2
    assert "run.json cannot be read as results" in _one_line(capsys)
    for name in ("run.json", "summary.json"):
        (tmp_path / name).write_text("[]")
    assert main(["push", str(run), "me/tiny", "--results", str(tmp_path)]) == 2
    assert "is not a results folder" in _one_line(capsys)
    assert hub.requests == []


def test_nothing_but_the_three_files_is_fetched(hub, folder, tmp_path):
    assert main(["push", str(folder), "me/tiny"]) == 0
    hub.commit("me/tiny", {"pytorch_model.bin": b"a pickle", "code.py": b"1 / 0"})
    assert main(["pull", "me/tiny", "--out", str(tmp_path / "pulled")]) == 0
    names = {path.name for path in (tmp_path / "pulled").iterdir()}
    assert names == {"config.json", "model.safetensors", "README.md"}
    assert not any("pytorch_model" in request for request in hub.requests)


def test_what_is_no_encoder_is_not_put_there(hub, tmp_path, capsys):
    hub.repositories["me/model"] = hub_server.Repository()
    hub.commit("me/model", {"config.json": b'{"model_type": "bert"}', "model.safetensors": b"?"})
    assert main(["pull", "me/model", "--out", str(tmp_path / "pulled")]) == 2
    assert "is not an encoder that vipl can read" in capsys.readouterr().err
    assert not (tmp_path / "pulled").exists()
    hub.commit("me/model", {"config.json": b""})
    hub.repositories["me/empty"] = hub_server.Repository()
    hub.commit("me/empty", {"notes.txt": b""})
    with pytest.raises(UserError, match=r"config\.json"):
        load_encoder("hf:me/empty")


def test_refusals_say_what_to_do(hub, folder, tmp_path, monkeypatch, capsys):
    pull = ["pull", "me/tiny", "--out", str(tmp_path / "pulled")]
    assert main(pull) == 2
    assert "the hub has no me/tiny, or does not show it to you (status 404)" in _one_line(capsys)
    assert main(["push", str(folder), "me/tiny", "--private"]) == 0
    assert main([*pull, "--revision", "v9"]) == 2
    assert "me/tiny has no such revision" in _one_line(capsys)
    assert main(["push", str(folder), "somebody-else/tiny"]) == 2
    assert "the hub refuses access to somebody-else/tiny" in _one_line(capsys)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    for arguments in (pull, ["push", str(folder), "me/tiny"]):
        assert main(arguments) == 2
        assert "(status 401): look at the name; " in (said := _one_line(capsys))
        assert "log in by `hf auth login`, or set HF_TOKEN" in said
    assert main([*pull, "--revision", "../../x"]) == 2
    assert "'../../x' is no revision: name a branch, a tag or a commit" in _one_line(capsys)
    assert main(["pull", "tiny", "--out", str(tmp_path / "pulled")]) == 2
    assert "'tiny' names no repository of a hub: expected OWNER/NAME" in _one_line(capsys)


def test_without_a_connection(hub, folder, tmp_path, monkeypatch, capsys):
    assert main(["push", str(folder), "me/tiny"]) == 0
    load_encoder("hf:me/tiny")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        capsys.readouterr()
        assert main(["push", str(folder), "me/tiny", "--endpoint", nobody]) == 2
        assert "the hub cannot be reached for me/tiny" in _one_line(capsys)
        pull = ["pull", "me/other", "--out", str(tmp_path / "pulled"), "--endpoint", nobody]
        assert main(pull) == 2
        assert "me/other is not in the cache, and the hub cannot be reached" in _one_line(capsys)
        monkeypatch.setenv("HF_ENDPOINT", nobody)
        load_encoder("hf:me/tiny")  # from the cache
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    load_encoder("hf:me/tiny")
    assert main(["push", str(folder), "me/tiny"]) == 2
    assert "the hub cannot be reached for me/tiny" in _one_line(capsys)


def _one_line(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("vipl: ")]
    assert len(lines) == 1
    return lines[0]
