"""From images of any size to one feature map each, whatever class does the seeing."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional
from transformers import PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES

from drivevlm.model.config import ModelError
from drivevlm.model.lite import CHANNELS, EfficientNetLite0Config

_hf: Any = transformers
_TOGETHER = {"cpu": 1}
"""Images that are encoded at a time, by device: one alone stays in a CPU's caches."""
_TOGETHER_ELSEWHERE = 32


class VisionEncoder(nn.Module):
    """Feature maps of several strides, laid over each other at the coarsest.

    A cell of the result carries the channels of every finer cell within it (pixel unshuffle), so
    nothing that the fine maps say is averaged away.

    Args:
        config: Of the vision class.
        strides: Pixels per cell of the maps that are read, finest first.
        mean, std: Of each colour, in steps of 0 to 255.
    """

    def __init__(
        self,
        config: Any,
        *,
        strides: Sequence[int],
        mean: Sequence[float],
        std: Sequence[float],
    ) -> None:
        super().__init__()
        self.strides = tuple(strides)
        self.cell_px = self.strides[-1]
        self.channels = sum(
            width * (self.cell_px // stride) ** 2
            for stride, width in zip(self.strides, map_channels(config, self.strides), strict=True)
        )
        self._mean, self._std = tuple(mean), tuple(std)
        self._is_lite = isinstance(config, EfficientNetLite0Config)
        loader = _hf.AutoBackbone if is_backbone(config) else _hf.AutoModel
        self.net = loader.from_config(config)

    def forward(self, images: Sequence[Tensor]) -> list[Tensor]:
        """(C, ceil(H / cell), ceil(W / cell)) of each image (3, H, W), RGB, 0 to 255."""
        features: list[Tensor | None] = [None] * len(images)
        by_size: dict[torch.Size, list[int]] = {}
        for index, image in enumerate(images):
            by_size.setdefault(image.shape, []).append(index)
        device = self.net.device.type
        together = _TOGETHER.get(device, _TOGETHER_ELSEWHERE)
        groups = [
            indices[start : start + together]
            for indices in by_size.values()
            for start in range(0, len(indices), together)
        ]
        stacks = [torch.stack([images[i] for i in group]) for group in groups]
        apart = device == "cpu" and not torch.is_grad_enabled()
        made = _in_threads(self._alike, stacks) if apart else map(self._alike, stacks)
        for group, maps in zip(groups, made, strict=True):
            for index, each in zip(group, maps, strict=True):
                features[index] = each
        return [made for made in features if made is not None]

    def _alike(self, images: Tensor) -> Tensor:
        """(N, C, h, w) of images (N, 3, H, W) of one size."""
        like: Tensor = next(self.net.parameters())
        mean, std = (like.new_tensor(v)[:, None, None] for v in (self._mean, self._std))
        scaled = (images.to(like.dtype) - mean) / std
        rows, columns = (math.ceil(size / self.cell_px) for size in images.shape[-2:])
        if not self._is_lite:  # which pads for itself, as its weights were trained
            missing = (
                rows * self.cell_px - scaled.shape[-2],
                columns * self.cell_px - scaled.shape[-1],
            )
            scaled = functional.pad(scaled, (0, missing[1], 0, missing[0]))
        maps = self._maps(scaled.contiguous(memory_format=torch.channels_last), (rows, columns))
        laid = []
        for stride, fine in zip(self.strides, maps, strict=True):
            factor = self.cell_px // stride
            down, right = rows * factor - fine.shape[-2], columns * factor - fine.shape[-1]
            laid.append(
                functional.pixel_unshuffle(functional.pad(fine, (0, right, 0, down)), factor)
            )
        return torch.cat(laid, dim=1)

    def _maps(self, scaled: Tensor, size: tuple[int, int]) -> Sequence[Tensor]:
        if self._is_lite or is_backbone(self.net.config):
            maps: Sequence[Tensor] = self.net(scaled).feature_maps
            return maps
        seen = self.net(scaled, interpolate_pos_encoding=True).last_hidden_state
        # What is no patch (a class token, registers) stands before them.
        return [seen[:, -size[0] * size[1] :].mT.reshape(len(seen), -1, *size)]


def _in_threads(encode: Callable[[Tensor], Tensor], stacks: Sequence[Tensor]) -> list[Tensor]:
    """One thread to each: the layers of a small network by themselves do not fill several cores.

    So an image's features are the same to the bit alone, among others, and on any number of cores.
    """
    threads = torch.get_num_threads()
    halves, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")
    inference = torch.is_inference_mode_enabled()

    def one(stack: Tensor) -> Tensor:
        # A thread begins with torch's defaults, not with what its maker had switched.
        half = torch.autocast("cpu", dtype, enabled=halves)
        with torch.inference_mode(inference), torch.no_grad(), half:
            return encode(stack)

    torch.set_num_threads(1)
    try:
        if len(stacks) == 1:
            return [one(stacks[0])]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(one, stacks))
    finally:
        torch.set_num_threads(threads)


def is_backbone(config: PretrainedConfig) -> bool:
    """Whether transformers has a class that gives this kind's feature maps."""
    return config.model_type in MODEL_FOR_BACKBONE_MAPPING_NAMES


def map_channels(config: Any, strides: Sequence[int]) -> list[int]:
    """Channels of the map of each stride. Raises ModelError where there is no such map."""
    try:
        offered = _offered(config)
    except AttributeError as error:
        raise ModelError(
            f"encoder {config.model_type} cannot be read: expected a patch_size with "
            f"a hidden_size, or with depths and hidden_sizes; {error}"
        ) from error
    missing = [stride for stride in strides if stride not in offered]
    if missing:
        raise ModelError(
            f"encoder {config.model_type} has no map of stride {missing[0]}: "
            f"it offers {', '.join(map(str, offered))}"
        )
    return [offered[stride] for stride in strides]


def _offered(config: Any) -> dict[int, int]:
    """Channels of the map of each stride."""
    if isinstance(config, EfficientNetLite0Config):
        return CHANNELS
    if hasattr(config, "depths"):  # in stages, each half as fine as the one before
        return {stride: config.hidden_sizes[i] for stride, i in _stages(config).items()}
    return {_patch_px(config): config.hidden_size}


def read_maps(config: Any, strides: Sequence[int]) -> None:
    """Tell the config of a vision class which maps will be read."""
    map_channels(config, strides)
    if isinstance(config, EfficientNetLite0Config):
        config.strides = list(strides)
    elif hasattr(config, "depths"):
        stages = _stages(config)
        config.out_features = [f"stage{stages[stride] + 1}" for stride in strides]


def _stages(config: Any) -> dict[int, int]:
    """Stage, counted from 0, that gives each stride."""
    return {_patch_px(config) * 2**index: index for index in range(len(config.depths))}


def _patch_px(config: Any) -> int:
    size = config.patch_size
    return int(size if isinstance(size, int) else size[0])
