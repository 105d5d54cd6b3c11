"""The model that learns, and beside it heads that say what its visual tokens show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from drivevlm.train.batch import Batch, Seen
from drivevlm.train.percepts import AHEAD_M, KINDS, REACH_STEPS, SIGNALS, UNKNOWN
from drivevlm.world.truth import STEP_S

PERCEPTS = ("signal", "lead", "lead_gap", "ahead", "reach", "shown", "meant")
"""What the heads are asked, each with a loss of its own."""
GAP_SCALE_M = 20.0
FARTHEST_LEAD_M = 60.0
AHEAD_SCALE_M = 10.0
SPEED_SCALE_MPS = 10.0
REACH_BETA_M = 0.5
"""Errors of reach below it count as their square."""
REACH_LOOKS = 4
REACH_S = STEP_S * torch.tensor(REACH_STEPS)


class Heads(nn.Module):
    """Signal, vehicle, path and way to go from all of a clip's visual tokens; kinds from each.

    Learned queries look at the tokens, which know by themselves where they look. How far the ego
    will get is told from its speed and some looks, so that the tokens must show whatever it slows
    down or starts for; and once more from what the decoder holds when it begins to answer, so that
    it must read them. Of twins the difference counts as well: it is what the pictures alone tell.

    Args:
        width: Of a token.
        heads: Of the attention.
    """

    def __init__(self, width: int, heads: int = 4) -> None:
        super().__init__()
        self.queries = nn.Parameter(torch.randn(3 + REACH_LOOKS, width) / width**0.5)
        self.scale = nn.LayerNorm(width)
        self.look = nn.MultiheadAttention(width, heads, batch_first=True)
        self.signal = nn.Linear(width, len(SIGNALS))
        self.lead = nn.Linear(width, 2)  # whether there is one, and how far
        self.ahead = nn.Linear(width, 2 * len(AHEAD_M))
        self.reach = _reach_head(REACH_LOOKS * width + 1, width)
        self.held_scale = nn.LayerNorm(width)
        self.meant = _reach_head(width + 1, width)
        self.kinds = nn.Linear(width, len(KINDS))

    def forward(
        self, tokens: Sequence[Tensor], batch: Batch, held: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Mean loss of each of ``PERCEPTS`` over the clips that have it; without those of none.

        Args:
            tokens: (T, D) of each image of the batch.
            batch: Its lessons.
            held: (B, D) what the decoder holds where the prompts end; None where nobody answers.
        """
        losses: dict[str, list[Tensor]] = {name: [] for name in PERCEPTS}
        scaled = [self.scale(each.float()) for each in tokens]
        at, looks = 0, list[Tensor | None]()
        for seen in batch.seen:
            mine, at = scaled[at : at + seen.images], at + seen.images
            looks.append(self._clip(mine, seen, losses) if mine else None)
        self._reach(self.reach, looks, batch, losses["reach"])
        if held is not None:
            self._reach(self.meant, list(self.held_scale(held.float())), batch, losses["meant"])
        # Processes that share the work wait for a gradient of every parameter.
        zero = sum(parameter.sum() for parameter in self.parameters()) * 0.0
        return {name: torch.stack(found).mean() + zero for name, found in losses.items() if found}

    def _clip(
        self, tokens: Sequence[Tensor], seen: Seen, losses: dict[str, list[Tensor]]
    ) -> Tensor:
        """Losses of one clip; what was looked up for its reach comes back."""
        every = torch.cat(list(tokens))[None]
        looked: Tensor = self.look(self.queries[None], every, every, need_weights=False)[0][0]
        signal, lead, ahead = looked[:3]
        if seen.signal != UNKNOWN:
            said = self.signal(signal)[None]
            target = torch.tensor([seen.signal], device=said.device)
            losses["signal"].append(functional.cross_entropy(said, target))
        if seen.lead_m == seen.lead_m:  # a number
            near = seen.lead_m < FARTHEST_LEAD_M
            there, gap = self.lead(lead)
            losses["lead"].append(
                functional.binary_cross_entropy_with_logits(there, there.new_tensor(float(near)))
            )
            if near:
                wanted = gap.new_tensor(seen.lead_m / GAP_SCALE_M)
                losses["lead_gap"].append(functional.smooth_l1_loss(gap, wanted))
        known = torch.isfinite(seen.ahead_m)
        if known.any():
            said = self.ahead(ahead).reshape(-1, 2)
            wanted = (seen.ahead_m / AHEAD_SCALE_M).to(said)
            mask = known.to(said.device)
            losses["ahead"].append(functional.smooth_l1_loss(said[mask], wanted[mask]))
        windows = [(t, s) for t, s in zip(tokens, seen.shown, strict=True) if s is not None]
        if windows:
            said = self.kinds(torch.cat([t for t, _ in windows]))
            wanted = torch.cat([s.flatten(1).T for _, s in windows]).to(said)
            losses["shown"].append(functional.binary_cross_entropy_with_logits(said, wanted))
        return looked[3:].flatten()

    @staticmethod
    def _reach(
        head: nn.Module, looks: Sequence[Tensor | None], batch: Batch, losses: list[Tensor]
    ) -> None:
        """By how much the ego gets farther, or less far, than its speed alone would take it."""
        apart = dict[int, tuple[Tensor, Tensor]]()
        for row, (looked, seen) in enumerate(zip(looks, batch.seen, strict=True)):
            wanted = seen.reach_m - seen.speed_mps * REACH_S
            if looked is not None and torch.isfinite(wanted).all():
                speed = looked.new_tensor([seen.speed_mps / SPEED_SCALE_MPS])
                said = head(torch.cat([looked, speed]))
                apart[row] = said, wanted.to(said)
        pairs = [(apart[a], apart[b]) for a, b in batch.twins if a in apart and b in apart]
        told = [*apart.values(), *((a[0] - b[0], a[1] - b[1]) for a, b in pairs)]
        losses += [functional.smooth_l1_loss(*each, beta=REACH_BETA_M) for each in told]


def _reach_head(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, len(REACH_STEPS)),
    )


class Pupil(nn.Module):
    """All that learns, behind one ``forward``, so that several processes may share the work.

    Args:
        model: Ours, adapters and all.
        heads: None where nobody asks what is seen.
    """

    def __init__(self, model: Any, heads: Heads | None) -> None:
        super().__init__()
        self.model, self.heads = model, heads

    def forward(
        self, batch: Batch, *, answers: bool = True
    ) -> tuple[Tensor | None, dict[str, Tensor]]:
        """Logits (B, A + 1, V) that end with the last token, where asked for; losses of heads."""
        device = next(self.model.parameters()).device
        images = [image.to(device) for image in batch.images]
        features = images if batch.encoded else self.model.encode(images)
        rays = [None if ray is None else ray.to(device) for ray in batch.rays]
        tokens = self.model.project(features, rays, batch.ages_s.to(device), batch.grids)
        if not answers:
            return None, {} if self.heads is None else self.heads(tokens, batch)
        embedded = self.model.embed(batch.input_ids.to(device), tokens)
        said: Any = self.model(
            inputs_embeds=embedded,
            attention_mask=batch.attention_mask.to(device),
            position_ids=batch.position_ids.to(device),
            logits_to_keep=batch.targets.shape[1] + 1,
            use_cache=False,
            output_hidden_states=self.heads is not None,
        )
        if self.heads is None:
            return said.logits, {}
        last = said.hidden_states[-1]
        ends = last.shape[1] - 1 - (batch.sections >= 0).sum(dim=1).to(device)
        held = last[torch.arange(len(last), device=device), ends]
        logits: Tensor = said.logits
        return logits, self.heads(tokens, batch, held)
