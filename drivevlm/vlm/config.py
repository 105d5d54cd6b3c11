"""The settings of the engines, apart from torch, so that reading them wakes nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

DTYPES = ("float32", "bfloat16", "float16")
BITSANDBYTES = {"bnb_4bit": 0.75, "bnb_8bit": 1.25}
"""Bytes a number, embeddings in higher precision counted in."""
SHIPPED = Path(__file__).parents[1] / "_weights" / "tiny"
"""The trained model inside the package, called as its folder is."""


@dataclass(frozen=True, slots=True)
class HfConfig:
    """Which stock model, where and how.

    Attributes:
        model: A folder, or a hub id such as ``org/name``.
        hub_revision: Branch, tag or commit on the hub.
        local_files_only: Never ask the hub.
        dtype: ``float32``, ``bfloat16``, ``float16``; ``auto`` is float32 on the CPU, where it is
            fastest on most machines, and the checkpoint's own elsewhere.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto`` is the first GPU if there is one.
        quantisation: ``none``; ``int8``, the language part's weights on the CPU; ``bnb_8bit`` and
            ``bnb_4bit`` with bitsandbytes installed.
        attention: ``sdpa``, ``eager``, ``flash_attention_2``; None is the model's default.
        batch_size: Rows written at once. Batching changes the last bits of the arithmetic, hence
            now and then a token: only 1 repeats exactly whatever else is asked meanwhile.
        batch_wait_ms: How long a batch waits to fill up.
        threads: CPU threads of torch, for the whole process; 0 leaves torch's own number.
        chat_template: A file in place of the model's own template.
        trust_remote_code: Run code that comes with the model.
    """

    model: str = ""
    hub_revision: str | None = None
    local_files_only: bool = False
    dtype: str = "auto"
    device: str = "auto"
    quantisation: str = "none"
    attention: str | None = None
    batch_size: int = 1
    batch_wait_ms: float = 5.0
    threads: int = 0
    chat_template: str | None = None
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", *DTYPES):
            raise ValueError(f"dtype must be auto or one of {', '.join(DTYPES)}: {self.dtype!r}")
        kinds = ("none", "int8", *BITSANDBYTES)
        if self.quantisation not in kinds:
            raise ValueError(f"quantisation must be one of {kinds}: {self.quantisation!r}")
        _check_batches(self)


@dataclass(frozen=True, slots=True)
class NativeConfig:
    """Which model of our own, where and how.

    Attributes:
        model: A folder that ``drivevlm.model.storage.save_model`` wrote; "" is the model that ships
            with the package.
        dtype: ``float32``, ``bfloat16``; ``auto`` is float32 on the CPU and the checkpoint's own
            elsewhere.
        device: ``cpu``, ``cuda``, ``cuda:1``, ...; ``auto`` is the first GPU if there is one.
        quantisation: ``none``; ``int8``, the language part's weights on the CPU.
        batch_size: Rows written at once. Batching changes the last bits of the arithmetic, hence
            now and then a token: only 1 repeats exactly whatever else is asked meanwhile.
        batch_wait_ms: How long a batch waits to fill up.
        threads: CPU threads of torch, for the whole process; 0 leaves torch's own number.
        cached_images: Images whose features are kept, so that a picture that comes again is not
            encoded again. A GPU encodes several at a time, with last bits that depend on which:
            there only 0 repeats exactly whatever was seen before.
        spread_bins: Where a number is written as one word, as those of a plan are, greedy decoding
            takes the word round which most chance lies, by a Gaussian of this deviation, instead of
            the likeliest word; 0 takes that.
    """

    model: str = ""
    dtype: str = "auto"
    device: str = "auto"
    quantisation: str = "none"
    batch_size: int = 1
    batch_wait_ms: float = 5.0
    threads: int = 0
    cached_images: int = 256
    spread_bins: float = 2.0

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"dtype must be auto, float32 or bfloat16: {self.dtype!r}")
        if self.quantisation not in ("none", "int8"):
            raise ValueError(f"quantisation must be none or int8: {self.quantisation!r}")
        if self.cached_images < 0:
            raise ValueError(f"cached_images must not be negative: {self.cached_images}")
        if not 0 <= self.spread_bins < math.inf:
            raise ValueError(f"spread_bins must not be negative: {self.spread_bins}")
        _check_batches(self)

    @property
    def folder(self) -> Path:
        """Of the model."""
        return Path(self.model).expanduser() if self.model else SHIPPED


def _check_batches(config: HfConfig | NativeConfig) -> None:
    if config.batch_size < 1 or config.batch_wait_ms < 0 or config.threads < 0:
        raise ValueError(
            "batch_size must be >= 1, batch_wait_ms and threads >= 0: "
            f"{config.batch_size}, {config.batch_wait_ms}, {config.threads}"
        )
