"""Checkpoints: whole or not at all, and the last one stays until the next is there."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from drivevlm.record.run_folder import write_atomically
from drivevlm.train.config import TrainError
from drivevlm.train.learner import Learner

WHOLE = "position.json"
"""Written last: a folder without it was broken off."""
_STATE = "training.safetensors"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def write_checkpoint(
    folder: Path,
    save_model: Callable[[Path], None],
    position: Mapping[str, Any],
    learner: Learner | None = None,
) -> None:
    """Put a checkpoint where the last one was.

    Args:
        folder: Of the checkpoint.
        save_model: Writes the model into a folder.
        position: Where the training stands, as JSON holds it.
        learner: Whose weights and moments are kept too, so that the training can go on.

    Raises TrainError where the disk is full or cannot be written; the last checkpoint is whole.
    """
    new = folder.with_name(f"{folder.name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        save_model(new)
        if learner is not None:
            save_file(_state(learner), new / _STATE)
        for file in new.iterdir():
            _to_disk(file)
        write_position(new, position)
        _exchange(folder, new)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(new, ignore_errors=True)
        raise TrainError(
            f"the checkpoint {folder} cannot be written ({error}): the one before is whole; make "
            "room and resume"
        ) from error


def found_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of this name, wherever a killed process left it."""
    named = (folder.with_name(f"{folder.name}{end}") for end in (".new", "", ".old"))
    return next((path for path in named if (path / WHOLE).is_file()), None)


def write_position(checkpoint: Path, position: Mapping[str, Any]) -> None:
    """Where a training stands whose weights and moments the checkpoint holds."""
    write_atomically(checkpoint / WHOLE, json.dumps(position, indent=1))


def read_position(checkpoint: Path) -> dict[str, Any]:
    """Where a training stood."""
    position: dict[str, Any] = json.loads((checkpoint / WHOLE).read_text(encoding="utf-8"))
    return position


def restore(learner: Learner, checkpoint: Path) -> None:
    """Weights and moments as they were. Raises TrainError where they belong to another model."""
    file = checkpoint / _STATE
    try:
        kept = load_file(file)
    except (OSError, SafetensorError) as error:
        raise TrainError(f"{file} cannot be read ({error}): start anew, or from best/") from error
    found = {name: tensor.shape for name, tensor in kept.items()}
    expected = {name: tensor.shape for name, tensor in _state(learner).items()}
    wrong = sorted(n for n in found.keys() | expected.keys() if found.get(n) != expected.get(n))
    if wrong:
        raise TrainError(
            f"{file} belongs to another model or stage: {len(wrong)} tensors differ, e.g. "
            f"{', '.join(wrong[:3])}"
        )
    with torch.no_grad():
        for name, parameter in learner.learnable.items():
            parameter.copy_(kept[f"weight.{name}"])
        for name, parameter in learner.named.items():
            learner.optimiser.state[parameter] = {
                kind: _as_kept(kept[f"{kind}.{name}"], parameter, kind) for kind in _MOMENTS
            }


def restore_heads(heads: torch.nn.Module, checkpoint: Path) -> bool:
    """Let heads go on as they were in the training that left this checkpoint, if it left such.

    Returns whether it did: a model that was exported has none, an older training others.
    """
    if not (checkpoint / _STATE).is_file():
        return False
    with safe_open(checkpoint / _STATE, framework="pt") as kept:
        of_heads = {name: f"weight.heads.{name}" for name in heads.state_dict()}
        if not set(of_heads.values()) <= set(kept.keys()):
            return False
        found = {name: kept.get_tensor(key) for name, key in of_heads.items()}
    if any(found[name].shape != mine.shape for name, mine in heads.state_dict().items()):
        return False
    heads.load_state_dict(found)
    return True


def _as_kept(tensor: Tensor, parameter: Tensor, kind: str) -> Tensor:
    """The count of steps stays on the CPU, as the optimiser has it."""
    return tensor if kind == "step" else tensor.to(parameter.device)


def _state(learner: Learner) -> dict[str, Tensor]:
    # Also what rests now: it may have learned in a stage before.
    kept = {f"weight.{name}": p.detach().clone() for name, p in learner.learnable.items()}
    for name, parameter in learner.named.items():
        moments = learner.optimiser.state[parameter]
        for kind in _MOMENTS:
            fresh = torch.zeros(()) if kind == "step" else torch.zeros_like(parameter)
            kept[f"{kind}.{name}"] = moments.get(kind, fresh).detach().clone()
    return kept


def _exchange(folder: Path, new: Path) -> None:
    old = folder.with_name(f"{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    new.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


def _to_disk(file: Path) -> None:
    if file.is_file():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
