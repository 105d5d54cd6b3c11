"""One step of learning: losses of batches, gradients, and the optimiser with its schedule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from drivevlm.dialogue.sections import SectionName
from drivevlm.model.scales import Scales
from drivevlm.train.batch import Batch
from drivevlm.train.config import Rates, Stage, TrainConfig, TrainError
from drivevlm.train.heads import PERCEPTS
from drivevlm.train.lesson import ENDS
from drivevlm.train.pupil import Pupil

LAST_RATE = 0.05
"""What is left of the highest rate at the end."""
PARTS = ("encoder", "projector", "decoder", "heads")
_NAMES = {"vision_encoder": "encoder", "projector": "projector", "language_model": "decoder"}


class NotFiniteError(TrainError):
    """A loss or gradient is no number; ``batches`` are those that made it."""

    def __init__(self, message: str, batches: Sequence[Batch]) -> None:
        super().__init__(message)
        self.batches = batches


def part_of(name: str) -> str:
    """The part of a ``Pupil`` that a parameter belongs to."""
    words = name.split(".")
    if words[0] == "heads":
        return "heads"
    return next(part for module, part in _NAMES.items() if module in words)


def rates_of(stage: Stage, rates: Rates) -> dict[str, float]:
    """The highest learning rate of each part in a stage; 0 freezes it."""
    whole = stage is Stage.SFT
    return {
        "encoder": rates.encoder if whole else 0.0,
        "projector": rates.projector,
        "decoder": rates.decoder if whole else 0.0,
        "heads": rates.projector,
    }


def freeze(model: nn.Module, rates: Mapping[str, float], learnable: frozenset[str]) -> None:
    """Let learn what has a rate, of the parameters that may learn at all."""
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in learnable and rates[part_of(name)] > 0)


def factor_at(step: int, config: TrainConfig) -> float:
    """Of the highest rate at a step: a straight rise, then a cosine."""
    if step < config.warmup:
        return (step + 1) / config.warmup
    done = (step - config.warmup) / max(1, config.steps - config.warmup)
    return LAST_RATE + (1 - LAST_RATE) * (1 + math.cos(math.pi * min(1.0, done))) / 2


@dataclass(frozen=True, slots=True)
class Learned:
    """What one step tells.

    Attributes:
        loss: Mean over weighted tokens, of all processes, and what heads add.
        sections: Mean over tokens, by section; of heads, mean over batches.
        gradient: Its length before it was clipped.
        clips, tokens: Learned from, of this process.
    """

    loss: float
    sections: Mapping[str, float]
    gradient: float
    clips: int
    tokens: int


class Learner:
    """A model with an optimiser.

    Args:
        pupil: As it will be trained, adapters and all; what learns is chosen here.
        config: Rates and the rest.
        stage: Decides who learns.
        accelerator: Of the processes.
        learnable: Names of parameters that may learn: with adapters, not those of the decoder.
        scales: Of the vocabulary.
    """

    def __init__(
        self,
        pupil: Pupil,
        config: TrainConfig,
        stage: Stage,
        accelerator: Accelerator,
        learnable: frozenset[str],
        scales: Scales,
    ) -> None:
        self.config, self.accelerator, self._scales = config, accelerator, scales
        self._answers = stage is not Stage.PERCEIVE
        self._perception = config.perception if self._answers else 1.0
        rates = rates_of(stage, config.rates)
        freeze(pupil, rates, learnable)
        self.learnable = {n: p for n, p in pupil.named_parameters() if n in learnable}
        self.named = {n: p for n, p in self.learnable.items() if p.requires_grad}
        if not self.named:
            raise TrainError(f"stage {stage.value}: nothing learns, all rates are 0")
        self._rates = rates
        self.optimiser = torch.optim.AdamW(self._groups(), betas=config.betas)
        self._wrapped: Any = accelerator.prepare(pupil)
        _steady(self._wrapped)

    def step(self, batches: Sequence[Batch], number: int) -> Learned | None:
        """Learn from some batches as from one; None where every clip of them was left out.

        Raises NotFiniteError before anything is changed.
        """
        if not self._total([torch.tensor(len(batch.input_ids)) for batch in batches]):
            return None
        if self.accelerator.num_processes == 1:  # several must take every batch together
            batches = [batch for batch in batches if len(batch.input_ids)]
        factor = factor_at(number, self.config)
        for group in self.optimiser.param_groups:
            group["lr"] = group["highest"] * factor
        sums = _Sums(self.accelerator.device)
        total = self._total([batch.weights.sum() for batch in batches])
        if total == 0:
            raise TrainError(f"step {number} has no token to learn from: all weights are 0")
        self.optimiser.zero_grad(set_to_none=True)
        for k, batch in enumerate(batches):
            # Processes exchange their gradients once, with the last batch.
            early = k < len(batches) - 1
            torch.manual_seed(batch.draw)
            with self.accelerator.no_sync(self._wrapped) if early else nullcontext():
                losses, percepts = self.losses(batch)
                sums.add(losses.detach(), percepts, batch, answers=self._answers)
                # Gradients are averaged over processes; the loss is a mean over all their tokens.
                share = (losses * batch.weights.to(losses)).sum() / total
                share = share * self.accelerator.num_processes
                if percepts:
                    share = share + self._perception * sum(percepts.values()) / len(batches)
                elif not self._answers:
                    raise TrainError(
                        "stage perceive: no clip of a batch tells what there is to see: learn from "
                        "data with labels (drivevlm_labels.jsonl) and truth per pixel"
                    )
                self.accelerator.backward(share)
        length = self.accelerator.clip_grad_norm_(self.named.values(), self.config.clip)
        learned = sums.learned(self.accelerator, total, float(length), self._perception)
        if not (math.isfinite(learned.loss) and math.isfinite(learned.gradient)):
            raise NotFiniteError(
                f"step {number}: the loss is {learned.loss}, the gradient {learned.gradient}",
                batches,
            )
        self.optimiser.step()
        return learned

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """(B, A) cross-entropy of each token of the answers, 0 where there is none; and of heads.

        Where nobody answers, every token counts nothing.
        """
        with self.accelerator.autocast():
            logits, percepts = self._wrapped(batch, answers=self._answers)
        if logits is None:
            return torch.zeros_like(batch.weights, device=self.accelerator.device), percepts
        there = (batch.sections >= 0).to(logits.device)
        targets = batch.targets.to(logits.device)
        said = logits[:, :-1].float().flatten(0, 1)
        losses = self._scales.losses(said, targets.flatten()).reshape(targets.shape)
        return losses * there, percepts

    def _groups(self) -> list[dict[str, Any]]:
        groups = []
        for part in PARTS:
            mine = [(n, p) for n, p in self.named.items() if part_of(n) == part]
            for decays in (True, False):
                chosen = [p for _, p in mine if (p.ndim > 1) is decays]
                if chosen:
                    groups.append(
                        {
                            "params": chosen,
                            "highest": self._rates[part],
                            "lr": self._rates[part],
                            "weight_decay": self.config.weight_decay if decays else 0.0,
                        }
                    )
        return groups

    def _total(self, mine_each: Sequence[Tensor]) -> float:
        """Of all processes' batches."""
        mine = torch.stack(list(mine_each)).sum().to(self.accelerator.device, torch.float64)
        return float(self.accelerator.reduce(mine, "sum"))


class _Sums:
    """Losses by section, added up."""

    def __init__(self, device: torch.device) -> None:
        self._sum = torch.zeros(ENDS + 1, dtype=torch.float64, device=device)
        self._count, self._weighted = torch.zeros_like(self._sum), torch.zeros_like(self._sum[:1])
        self._percepts = torch.zeros(2, len(PERCEPTS), dtype=torch.float64, device=device)
        self._clips = self._tokens = 0

    def add(
        self, losses: Tensor, percepts: Mapping[str, Tensor], batch: Batch, *, answers: bool
    ) -> None:
        if answers:
            self._count_tokens(losses, batch)
        for place, name in enumerate(PERCEPTS):
            if name in percepts:
                self._percepts[0, place] += percepts[name].detach()
                self._percepts[1, place] += 1
        self._clips += len(losses)
        self._tokens += int(batch.attention_mask.sum())

    def _count_tokens(self, losses: Tensor, batch: Batch) -> None:
        there = (batch.sections >= 0).to(losses.device)
        places, values = batch.sections.to(losses.device)[there], losses[there].double()
        self._sum.index_add_(0, places, values)
        self._count.index_add_(0, places, torch.ones_like(values))
        self._weighted += (losses * batch.weights.to(losses)).sum().double()

    def learned(
        self, accelerator: Accelerator, total: float, gradient: float, perception: float
    ) -> Learned:
        names = [section.value.lower() for section in SectionName] + ["end"]
        names += [f"sees_{name}" for name in PERCEPTS]
        sums = torch.cat([self._sum, self._percepts[0], self._count, self._percepts[1]])
        *told, weighted = accelerator.reduce(torch.cat([sums, self._weighted]), "sum").tolist()
        found = zip(names, told[: len(names)], told[len(names) :], strict=True)
        means = {name: value / count for name, value, count in found if count}
        seen = sum(value for name, value in means.items() if name.startswith("sees_"))
        return Learned(
            weighted / total + perception * seen,
            means,
            gradient,
            self._clips,
            self._tokens,
        )


def _steady(model: Any) -> None:
    """Train, but leave an encoder's running statistics as they are."""
    model.train()
    for name, module in model.named_modules():
        if name.split(".")[-1] == "vision_encoder":
            module.eval()
