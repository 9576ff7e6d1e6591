"""What the page on encoders shows works."""

import re

import gymnasium
import numpy as np
import pytest
import torch

from tests import ROOT
from vipl import load_encoder
from vipl.errors import UserError
from vipl.models.zoo import entries

PAGE = (ROOT / "docs/how-to/released_encoders.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_the_names_are_there():
    table = PAGE.partition("| names | from |")[2].partition("These names work")[0]
    named = re.findall(r"`(\w+…?)`", table)
    for name in named:
        assert any(known.startswith(name.rstrip("…")) for known in entries()), name
    known = {name for name in entries() if not name.startswith(("dino", "mae", "clip"))}
    assert known <= set(named)


def test_an_encoder_of_ones_own(tmp_path, monkeypatch):
    (tmp_path / "own.yaml").write_text(blocks("yaml")[0])
    monkeypatch.setenv("VIPL_ENCODERS", str(tmp_path / "own.yaml"))
    encoder = load_encoder("random:my_vits16")
    assert encoder.distance == "cosine"
    assert encoder.network.blocks[0].attn.num_heads == 12


def test_a_checkpoint_of_anothers(tmp_path, monkeypatch):
    """One that says nothing of its network, such as a MoCo's."""
    entry = blocks("yaml")[1].replace("resnet50", "resnet10t")
    (tmp_path / "own.yaml").write_text(entry)
    monkeypatch.setenv("VIPL_ENCODERS", str(tmp_path / "own.yaml"))
    network = load_encoder("random:my_moco").network
    state = {f"module.encoder_q.{name}": value for name, value in network.state_dict().items()}
    state |= {"module.encoder_q.fc.weight": torch.zeros(8, 2), "module.queue": torch.zeros(8, 2)}
    state |= {"module.encoder_k.conv1.weight": torch.zeros(1)}
    torch.save({"state_dict": state}, tmp_path / "moco.pth")
    with pytest.raises(
        UserError, match=r"a file that VIPL_ENCODERS names, see docs/how-to/released_encoders\.md"
    ):
        load_encoder(tmp_path / "moco.pth")
    loaded = load_encoder("my_moco", weights=tmp_path / "moco.pth")
    assert torch.equal(loaded.network.conv1[0].weight, network.conv1[0].weight)


@pytest.mark.usefixtures("opengl")
def test_rewards_of_the_kitchen():
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    names = {
        "encoder": load_encoder("random:resnet10t"),
        "goal": pictures[0],
        "another": pictures[1],
        "action": np.zeros(9),
    }
    program = next(block for block in blocks("python") if "VisualReward" in block)
    exec(program, names)
    assert isinstance(names["env"], gymnasium.Wrapper)
    assert names["reward"] != names["info"]["task_reward"]
    names["env"].close()
