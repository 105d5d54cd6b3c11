"""A model's files before anything is loaded: where they are, what they are, whether they fit."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

import psutil

from drivevlm.vlm.seam import VLMError

_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
_WORDS = (".json", ".jinja", ".txt", ".model")
_HUB_PATTERNS = ["*.safetensors", *(f"*{ending}" for ending in _WORDS)]
_HASHED_WHOLE_BYTES = 64 * 2**20
_BYTES_SEEN_OF_A_TENSOR = 64
_HEADROOM = 1.15
"""Weights are not all: activations, cache and the process itself need a little too."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One entry of a safetensors header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int

    @property
    def numbers(self) -> int:
        """How many numbers it holds."""
        return prod(self.shape)


def find_folder(model: str, *, hub_revision: str | None, local_files_only: bool) -> Path:
    """The folder of a model given as a path or a hub id (downloaded, without any pickle).

    Raises VLMError in one line where there is no such folder or hub model.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path
    looks_like_a_path = path.is_absolute() or model.startswith((".", "~")) or model.count("/") != 1
    if looks_like_a_path or path.exists():
        raise VLMError(f"no model folder at {path}: give a folder with config.json and safetensors")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.errors import HFValidationError as InvalidIdError

    try:
        found = snapshot_download(
            model,
            revision=hub_revision,
            allow_patterns=_HUB_PATTERNS,
            local_files_only=local_files_only,
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, InvalidIdError, OSError) as error:
        where = "the local hub cache" if local_files_only else "the hub or its local cache"
        raise VLMError(
            f"{model!r} is no folder here, nor a model in {where} ({type(error).__name__}): "
            "give a path, or download it first"
        ) from error
    return Path(found)


def tensors(file: Path) -> dict[str, Tensor]:
    """The header of a safetensors file. Raises VLMError where it is broken or cut off."""
    try:
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if length > file.stat().st_size:
                raise VLMError(f"{file} is not a safetensors file, or was cut off")
            header = json.loads(stream.read(length))
        found = {
            name: Tensor(entry["dtype"], tuple(entry["shape"]), *entry["data_offsets"])
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise VLMError(f"{file} is not a safetensors file, or was cut off") from error
    if 8 + length + max((t.end for t in found.values()), default=0) != file.stat().st_size:
        raise VLMError(f"{file} was cut off, or grew: its size does not fit its header")
    return found


def weight_files(folder: Path) -> tuple[Path, ...]:
    """The safetensors of a model folder, sorted; VLMError where it holds only pickles, or none."""
    if not (folder / "config.json").is_file():
        raise VLMError(f"{folder} has no config.json: it is not a transformers model folder")
    files = tuple(sorted(folder.glob("*.safetensors")))
    if files:
        return files
    pickles = sorted(f.name for f in folder.iterdir() if f.suffix in _PICKLES)
    if pickles:
        raise VLMError(
            f"{folder} holds its weights only as pickles ({', '.join(pickles[:3])}), which can run "
            "code and are never loaded: save the model again as safetensors"
        )
    raise VLMError(f"{folder} holds no weights: expected *.safetensors")


def check_fits(folder: Path, *, bytes_per_number: float | None, device: str) -> None:
    """Raise VLMError where the weights would not fit the memory at hand.

    ``bytes_per_number`` is that of the dtype asked for; None keeps each tensor as it is stored.
    """
    need = 0.0
    for file in weight_files(folder):
        for tensor in tensors(file).values():
            stored = tensor.end - tensor.begin
            need += stored if bytes_per_number is None else tensor.numbers * bytes_per_number
    have = memory_at_hand(device)
    if need * _HEADROOM > have:
        raise VLMError(
            f"{folder} needs about {need * _HEADROOM / 2**30:.1f} GiB on {device}, "
            f"{have / 2**30:.1f} GiB are free: take a smaller dtype, quantisation or model"
        )


def memory_at_hand(device: str) -> int:
    """Free bytes on a torch device; on the CPU also within this process's control group."""
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.mem_get_info(torch.device(device))[0])
    free = [psutil.virtual_memory().available]
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        group = Path("/sys/fs/cgroup")
        if (group / limit).is_file() and (words := (group / limit).read_text().strip()) != "max":
            free.append(int(words) - int((group / used).read_text()))
    return max(0, min(free))


def digest(folder: Path) -> str:
    """``sha256:`` and 16 digits over a model folder: what exactly would answer.

    Covers every config, tokenizer and template file, and the weights: whole up to 64 MiB a file;
    beyond that each file's size and header, and 64 bytes out of the middle of every tensor, so
    that two trainings of one architecture differ though reading takes no time.
    """
    sha = hashlib.sha256()
    words = (f for f in folder.iterdir() if f.suffix in _WORDS and f.is_file())
    for file in (*sorted(words), *weight_files(folder)):
        size = file.stat().st_size
        sha.update(json.dumps([file.name, size]).encode())
        for piece in _pieces(file, size):
            sha.update(piece)
    return f"sha256:{sha.hexdigest()[:16]}"


def _pieces(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if size <= _HASHED_WHOLE_BYTES or file.suffix != ".safetensors":
            while piece := stream.read(2**20):
                yield piece
            return
        head = 8 + int.from_bytes(stream.read(8), "little")
        stream.seek(0)
        yield stream.read(head)
        for tensor in tensors(file).values():
            middle = (tensor.begin + tensor.end - _BYTES_SEEN_OF_A_TENSOR) // 2
            stream.seek(head + max(tensor.begin, middle), os.SEEK_SET)
            yield stream.read(min(_BYTES_SEEN_OF_A_TENSOR, tensor.end - tensor.begin))
