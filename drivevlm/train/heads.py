"""Heads that say what visual tokens show; they are thrown away after training."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

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
        losses: dict[str, Tensor] = {}
        rows = _rows_with_images(batch)
        if rows:
            seen = [batch.seen[row] for row in rows]
            sizes = _clip_sizes(tokens, [each.images for each in seen])
            scaled = self.scale(torch.cat(list(tokens)).float())
            looked = self._looked(scaled, sizes)
            losses |= self._told(looked, seen) | self._shown(scaled, tokens, seen, sizes)
            losses["reach"] = self._reach(self.reach, looked[:, 3:].flatten(1), rows, batch)
        if held is not None:
            held = self.held_scale(held.float())
            losses["meant"] = self._reach(self.meant, held, range(len(batch.seen)), batch)
        # Processes that share the work wait for a gradient of every parameter.
        zero = sum(parameter.sum() for parameter in self.parameters()) * 0.0
        return {name: each.mean() + zero for name, each in losses.items() if len(each)}

    def reached_m(self, tokens: Sequence[Tensor], batch: Batch) -> Tensor:
        """(B, 3) how far the ego is said to get in ``REACH_S``; NaN where nothing is seen."""
        rows = _rows_with_images(batch)
        said = torch.full((len(batch.seen), len(REACH_S)), torch.nan)
        if rows:
            sizes = _clip_sizes(tokens, [batch.seen[row].images for row in rows])
            looked = self._looked(self.scale(torch.cat(list(tokens)).float()), sizes)
            speed_mps = looked.new_tensor([batch.seen[row].speed_mps for row in rows])[:, None]
            asked = torch.cat([looked[:, 3:].flatten(1), speed_mps / SPEED_SCALE_MPS], dim=1)
            said[rows] = (self.reach(asked) + speed_mps * REACH_S.to(looked)).float().cpu()
        return said

    def _looked(self, scaled: Tensor, sizes: Sequence[int]) -> Tensor:
        """(n, queries, D) what the queries find among each clip's tokens, all in one list.

        In single precision whatever the attention's: metres are told from it.
        """
        clips = torch.split(scaled, list(sizes))
        there = pad_sequence([c.new_ones(len(c)) for c in clips], batch_first=True) > 0
        every = pad_sequence(list(clips), batch_first=True)
        asked = self.queries.expand(len(clips), -1, -1)
        looked, _ = self.look(asked, every, every, key_padding_mask=~there, need_weights=False)
        return torch.as_tensor(looked).float()

    def _told(self, looked: Tensor, seen: Sequence[Seen]) -> dict[str, Tensor]:
        """Losses of signal, vehicle and path ahead, of each clip that has them."""
        signal = torch.tensor([each.signal for each in seen], device=looked.device)
        known = signal != UNKNOWN
        losses = {
            "signal": functional.cross_entropy(
                self.signal(looked[known, 0]), signal[known], reduction="none"
            )
        }
        lead_m = looked.new_tensor([each.lead_m for each in seen])
        told, near = ~lead_m.isnan(), lead_m < FARTHEST_LEAD_M
        there, gap = self.lead(looked[:, 1]).unbind(dim=1)
        losses["lead"] = functional.binary_cross_entropy_with_logits(
            there[told], near[told].to(there), reduction="none"
        )
        gaps = (lead_m[near] / GAP_SCALE_M).to(gap)
        losses["lead_gap"] = functional.smooth_l1_loss(gap[near], gaps, reduction="none")
        ahead_m = torch.stack([each.ahead_m for each in seen]).to(looked)
        driven = ahead_m.isfinite()
        said = self.ahead(looked[:, 2]).reshape(ahead_m.shape)
        wanted = ahead_m.nan_to_num() / AHEAD_SCALE_M
        off = functional.smooth_l1_loss(said.float(), wanted, reduction="none") * driven
        count = driven.sum(dim=(1, 2))
        losses["ahead"] = off.sum(dim=(1, 2))[count > 0] / count[count > 0]
        return losses

    def _shown(
        self,
        scaled: Tensor,
        tokens: Sequence[Tensor],
        seen: Sequence[Seen],
        sizes: Sequence[int],
    ) -> dict[str, Tensor]:
        """Mean loss of what each token's window shows, of each clip of which that is known."""
        pictures = [each for clip in seen for each in clip.shown]
        known = torch.cat(
            [
                torch.full((len(mine),), picture is not None)
                for mine, picture in zip(tokens, pictures, strict=True)
            ]
        ).to(scaled.device)
        if not known.any():
            return {}
        wanted = torch.cat([each.flatten(1).T for each in pictures if each is not None])
        said = self.kinds(scaled[known])
        off = functional.binary_cross_entropy_with_logits(
            said, wanted.to(said), reduction="none"
        ).mean(dim=1)
        clip = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
        clip = clip.to(scaled.device)[known]
        sums, counts = off.new_zeros(2, len(sizes)).unbind()
        sums = sums.index_add(0, clip, off)
        counts = counts.index_add(0, clip, torch.ones_like(off))
        return {"shown": sums[counts > 0] / counts[counts > 0]}

    @staticmethod
    def _reach(head: Any, looks: Tensor, rows: Sequence[int], batch: Batch) -> Tensor:
        """Losses of how much farther the ego gets, or less far, than its speed alone takes it.

        Of each clip whose future is known, and of the difference of each such pair of twins.

        Args:
            head: Of ``looks`` and a speed.
            looks: (n, D) of the rows of the batch that are named in ``rows``.
        """
        seen = [batch.seen[row] for row in rows]
        speed_mps = looks.new_tensor([each.speed_mps for each in seen])
        wanted = torch.stack([each.reach_m for each in seen]).to(looks)
        wanted = wanted - speed_mps[:, None] * REACH_S.to(looks)
        known = wanted.isfinite().all(dim=1)
        place = {rows[k]: n for n, k in enumerate(known.nonzero().flatten().tolist())}
        speed = (speed_mps / SPEED_SCALE_MPS)[known, None]
        said = head(torch.cat([looks[known], speed], dim=1)).float()
        wanted = wanted[known]
        pairs = [(place[a], place[b]) for a, b in batch.twins if a in place and b in place]
        first, second = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(dim=1)
        said = torch.cat([said, said[first] - said[second]])
        wanted = torch.cat([wanted, wanted[first] - wanted[second]])
        return functional.smooth_l1_loss(said, wanted, beta=REACH_BETA_M, reduction="none").mean(1)


def _rows_with_images(batch: Batch) -> list[int]:
    return [row for row, seen in enumerate(batch.seen) if seen.images]


def _clip_sizes(tokens: Sequence[Tensor], images: Sequence[int]) -> list[int]:
    """Tokens of each clip, of which these are the images."""
    ends = [0, *accumulate(images)]
    return [sum(map(len, tokens[a:b])) for a, b in pairwise(ends)]


def _reach_head(inputs: int, width: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(inputs, width),
        nn.GELU(),
        nn.Linear(width, width),
        nn.GELU(),
        nn.Linear(width, len(REACH_STEPS)),
    )
