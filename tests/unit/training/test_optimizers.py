"""Which parameters are the head's, and which are decayed, in networks of several families."""

import pytest
import torch

from vipl.models.encoder import Encoder
from vipl.training.optimizers import ParameterGroups, make_optimizer


@pytest.mark.parametrize(
    ("backbone", "heads", "arguments"),
    [
        ("test_vit", {"head"}, {}),
        ("mobilenetv3_small_050", {"classifier"}, {}),
        ("convnext_atto", {"head"}, {}),
        ("deit_tiny_distilled_patch16_224", {"head", "head_dist"}, {"depth": 1}),
        ("vit_base_patch16_vjepa2_1", {"head"}, {"embed_dim": 48, "depth": 1, "num_heads": 2}),
    ],
)
def test_the_head_is_found_whatever_its_name(backbone, heads, arguments):
    encoder = Encoder(backbone, output_dim=7, image_size=32, network_args=arguments)
    groups = ParameterGroups(backbone_rate=0.1, decay_norms_and_biases=False)
    optimizer = make_optimizer(encoder, lambda parts: torch.optim.AdamW(parts, lr=1), groups)
    fast = {
        id(one) for group in optimizer.param_groups if group["lr"] == 1 for one in group["params"]
    }
    found = {name: one for name, one in encoder.network.named_parameters() if id(one) in fast}
    assert {name.partition(".")[0] for name in found} == heads
    assert [len(one) for one in found.values()] == [7, 7] * len(heads)
    decayed = [group["params"] for group in optimizer.param_groups if group["weight_decay"]]
    tokens = {name for name, one in encoder.network.named_parameters() if "." not in name}
    ids = {id(one) for part in decayed for one in part}
    assert not [name for name in tokens if id(encoder.network.get_parameter(name)) in ids]
