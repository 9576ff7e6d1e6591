"""EfficientNet-Lite0, in plain torch, with the names of its release.

Source: arXiv 1905.11946, table 1, without squeeze and excitation and with ReLU6, as its authors'
page of the lite models says. Convolutions pad as TensorFlow does ("SAME").

Shapes: N images of 224 x 224 pixels.
"""

from torch import Tensor, nn
from torch.nn import functional

# Expansion, channels, repeats, stride and kernel of each stage.
_STAGES = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
)  # fmt: skip
_STEM, _FEATURES = 32, 1280
_EPSILON = 1e-3


class EfficientNetLite0(nn.Module):
    """The network without its classifier: 1280 features."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = _convolution(3, _STEM, 3, stride=2)
        self._bn0 = nn.BatchNorm2d(_STEM, eps=_EPSILON)
        self._blocks = nn.ModuleList()
        before = _STEM
        for expansion, width, repeats, stride, kernel in _STAGES:
            for number in range(repeats):
                own = stride if number == 0 else 1
                self._blocks.append(_Block(before, width, expansion, kernel, own))
                before = width
        self._conv_head = _convolution(before, _FEATURES, 1)
        self._bn1 = nn.BatchNorm2d(_FEATURES, eps=_EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, 1280] of float32 [N, 3, 224, 224]."""
        images = functional.relu6(self._bn0(_same(self._conv_stem, images)))
        for block in self._blocks:
            images = block(images)
        features: Tensor = functional.relu6(self._bn1(self._conv_head(images)))
        return features.mean(dim=(2, 3))


class _Block(nn.Module):
    """Expand, filter each channel, project; with a short cut where the shape stays."""

    def __init__(self, before: int, after: int, expansion: int, kernel: int, stride: int) -> None:
        super().__init__()
        inner = before * expansion
        self._short_cut = stride == 1 and before == after
        if expansion > 1:
            self._expand_conv = _convolution(before, inner, 1)
            self._bn0 = nn.BatchNorm2d(inner, eps=_EPSILON)
        self._depthwise_conv = _convolution(inner, inner, kernel, stride=stride, groups=inner)
        self._bn1 = nn.BatchNorm2d(inner, eps=_EPSILON)
        self._project_conv = _convolution(inner, after, 1)
        self._bn2 = nn.BatchNorm2d(after, eps=_EPSILON)

    def forward(self, images: Tensor) -> Tensor:
        """Return [N, C', H', W'] of [N, C, H, W]."""
        inner: Tensor = images
        if hasattr(self, "_expand_conv"):
            inner = functional.relu6(self._bn0(self._expand_conv(inner)))
        inner = functional.relu6(self._bn1(_same(self._depthwise_conv, inner)))
        inner = self._bn2(self._project_conv(inner))
        return images + inner if self._short_cut else inner


def _convolution(
    before: int, after: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(before, after, kernel, stride, groups=groups, bias=False)


def _same(convolution: nn.Conv2d, images: Tensor) -> Tensor:
    """Convolve so that the output has a stride-th of the pixels, the odd one padded at the end."""
    (kernel, _), (stride, _) = convolution.kernel_size, convolution.stride
    padding: list[int] = []
    for size in (images.shape[-1], images.shape[-2]):
        missing = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        padding += [missing // 2, missing - missing // 2]
    convolved: Tensor = convolution(functional.pad(images, padding))
    return convolved
