"""Files of weights in the layout that the released ones have: same keys, same sizes, random values.

Each is made from the second implementation of its network, by what is publicly known of the file.
"""

from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from vipl.models.zoo.build import build, convert_names
from vipl.models.zoo.entry import Entry
from vipl.models.zoo.references import reference


def write(name: str, entry: Entry, folder: Path) -> Path:
    """Write the file of an entry; return its path."""
    torch.manual_seed(0)
    network = reference(entry)
    for parameter in network.parameters():
        if parameter.ndim == 1:  # norms and biases that could not be told from their defaults
            parameter.data += 0.05 * torch.randn_like(parameter)
    for value in network.buffers():
        if value.is_floating_point():
            value += 0.05 * torch.rand_like(value)
    return _WRITERS[name.partition("_")[0]](entry, network.state_dict(), folder / name)


def _vip(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    return _save({"vip": _under("module.convnet.", state), "global_step": 1_000_000}, path, ".pt")


def _r3m(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    language = {
        "module.lang_enc.model.embeddings.word_embeddings.weight": torch.zeros(30522, 8),
        "module.lang_rew.pred.0.weight": torch.zeros(1024, 8),
    }
    return _save({"r3m": {**_under("module.convnet.", state), **language}}, path, ".pt")


def _liv(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    text = {
        "module.model.transformer.resblocks.0.ln_1.weight": torch.zeros(512),
        "module.model.token_embedding.weight": torch.zeros(49408, 8),
        "module.model.positional_embedding": torch.zeros(77, 512),
        "module.model.ln_final.weight": torch.zeros(512),
        "module.model.text_projection": torch.zeros(512, 1024),
        "module.model.logit_scale": torch.zeros(()),
    }
    return _save({"liv": {**_under("module.model.visual.", state), **text}}, path, ".pt")


def _mae_style(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    decoder = {
        "mask_token": torch.zeros(1, 1, 512),
        "decoder_pos_embed": torch.zeros(1, 197, 512),
        "decoder_blocks.0.attn.qkv.weight": torch.zeros(8, 512),
    }
    return _save({"model": {**state, **decoder}}, path, ".pth")


def _imagenet(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    return _save(
        {**state, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}, path, ".pth"
    )


def _efficientnet(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    head = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    return _save({**state, **head}, path, ".pth")


def _mocov3(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    head = "fc" if entry.network.startswith("resnet") else "head"
    state = {**state, f"{head}.weight": torch.zeros(1000, 8), f"{head}.bias": torch.zeros(1000)}
    content = {"epoch": 90, "arch": entry.network, "state_dict": _under("module.", state)}
    return _save(content, path, ".pth.tar")


def _vjepa(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    width = state["img_mod_embed"].shape[-1]
    video = {
        "patch_embed.proj.weight": torch.zeros(width, 3, 2, 16, 16),
        "patch_embed.proj.bias": torch.zeros(width),
        "video_mod_embed": torch.zeros(1, 1, width),
        **{f"norms_block.{number}.weight": torch.zeros(width) for number in range(3)},
    }
    own = {
        name.replace("patch_embed.", "patch_embed_img.").replace("norm.", "norms_block.3."): value
        for name, value in state.items()
    }
    content = _under("module.backbone.", {**own, **video})
    return _save({"ema_encoder": content, "predictor": {}, "epoch": 1}, path, ".pt")


def _timm(entry: Entry, state: dict[str, Tensor], path: Path) -> Path:
    """Write as timm's hub holds it: timm's names, in safetensors."""
    if entry.network.startswith("resnet50_clip"):
        state = convert_names(_under("visual.", state), build(entry).network)
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.with_suffix(".safetensors")
    safetensors.torch.save_file({key: value.contiguous() for key, value in state.items()}, file)
    return file


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + key: value for key, value in state.items()}


def _save(content: object, path: Path, suffix: str) -> Path:
    file = path.with_name(path.name + suffix)
    torch.save(content, file)
    return file


_WRITERS = {
    "vip": _vip,
    "r3m": _r3m,
    "liv": _liv,
    "vc1": _mae_style,
    "mvp": _mae_style,
    "imagenet": _imagenet,
    "efficientnet": _efficientnet,
    "mocov3": _mocov3,
    "vjepa2": _vjepa,
    **dict.fromkeys(("dino", "dinov2", "dinov3", "mae", "clip", "siglip", "siglip2"), _timm),
}
