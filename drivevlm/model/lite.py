"""EfficientNet-Lite0 up to the stride that is wanted, under the published weights' arithmetic."""

from __future__ import annotations

import math
from typing import Any

from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel
from transformers.modeling_outputs import BackboneOutput

MEAN = 127.0
SCALE = 128.0
"""Pixels are fed as (value - 127) / 128."""
_NORM_EPSILON = 1e-3
_STEM_CHANNELS = 32
_STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
LAST_BLOCK = {2: 0, 4: 2, 8: 4, 16: 10, 32: 15}
"""The block after which a stride's map is read: its deepest."""
CHANNELS = {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}


class EfficientNetLite0Config(PretrainedConfig):  # type: ignore[no-untyped-call]
    """Which maps it gives; nothing beyond the coarsest of them is built."""

    model_type = "efficientnet_lite0"
    strides: list[int] | tuple[int, ...] = (8, 16)


class _SameConv(nn.Conv2d):
    """Convolution padded as TensorFlow's "same" does, for the size that really comes."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (_missing(size, kernel, stride) for size in x.shape[-2:])
        if down or right:
            x = functional.pad(x, (right // 2, right - right // 2, down // 2, down - down // 2))
        return functional.conv2d(x, self.weight, None, self.stride, 0, 1, self.groups)


def _missing(size: int, kernel: int, stride: int) -> int:
    return max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)


class _ConvNorm(nn.Module):
    """Convolution and batch norm. The norm keeps its statistics in training too: a clip's few
    images, all of one scene, would only spoil them."""

    def __init__(
        self, inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1
    ):
        super().__init__()
        self.conv = _SameConv(inside, outside, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outside, eps=_NORM_EPSILON)

    def train(self, mode: bool = True) -> _ConvNorm:
        super().train(mode)
        self.norm.eval()
        return self

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(x))
        return normed


class _Block(nn.Module):
    """Expand, look around within each channel, project."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int):
        super().__init__()
        middle = inside * expansion
        self.expand = _ConvNorm(inside, middle) if expansion > 1 else None
        self.depthwise = _ConvNorm(middle, middle, kernel, stride, groups=middle)
        self.project = _ConvNorm(middle, outside)
        self.skips = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        inner = x if self.expand is None else functional.relu6(self.expand(x))
        inner = functional.relu6(self.depthwise(inner))
        out: Tensor = self.project(inner)
        return x + out if self.skips else out


class EfficientNetLite0(PreTrainedModel):
    """Trunk of EfficientNet-Lite0: one map for each stride of its config."""

    config_class = EfficientNetLite0Config
    main_input_name = "pixel_values"

    def __init__(self, config: EfficientNetLite0Config) -> None:
        super().__init__(config)
        self.stem = _ConvNorm(3, _STEM_CHANNELS, 3, 2)
        self._taps = [LAST_BLOCK[stride] for stride in config.strides]
        self.blocks = nn.ModuleList(_blocks()[: max(self._taps) + 1])
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, **_: Any) -> BackboneOutput:
        """Maps (N, C, ceil(H / stride), ceil(W / stride)) of scaled images (N, 3, H, W)."""
        x = functional.relu6(self.stem(pixel_values))
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._taps:
                maps.append(x)
        return BackboneOutput(feature_maps=tuple(maps))

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, _SameConv):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]


def _blocks() -> list[_Block]:
    blocks, inside = [], _STEM_CHANNELS
    for count, kernel, stride, expansion, outside in _STAGES:
        for index in range(count):
            blocks.append(_Block(inside, outside, kernel, 1 if index else stride, expansion))
            inside = outside
    return blocks
