"""Numbers that are written as one word each: ``<v0>``, ``<v1>``, ... are bins of a scale."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# V: words of the vocabulary. n: bins of a scale.
_BIN = re.compile(r"<([a-z]+)(\d+)>")


class Scales:
    """The scales of a vocabulary, on which neighbouring bins speak for each other.

    To a decoder a bin is a word like any other, though the next one is nearly the same number.
    ``losses`` spreads what is wanted over a bin's neighbours (as HL-Gauss does: Imani and White,
    2018; Farebrother et al., 2024); ``settle`` takes the bin round which most chance lies, instead
    of the one that by itself has most.

    Args:
        tokenizer: Whose added words ``<name0>``, ``<name1>``, ... of adjoining ids are scales.
        spread_bins: Deviation of the Gaussian round a bin; 0 leaves every bin alone.
    """

    def __init__(self, tokenizer: Any, spread_bins: float) -> None:
        self.ranges = tuple(_ranges(tokenizer)) if spread_bins > 0 else ()
        self._near = [_gaussian(len(ids), spread_bins) for ids in self.ranges]

    def settle(self, scores: Tensor) -> None:
        """Where the highest of scores (V,) is a bin's, make it that of the likeliest region.

        Words whose score is minus infinity stay impossible.
        """
        best = int(scores.argmax())
        for ids, near in zip(self.ranges, self._near, strict=True):
            if best in ids:
                bins = scores[ids.start : ids.stop]
                around = near.to(scores.device) @ bins.float().softmax(0)
                around[bins == -torch.inf] = -1.0
                scores[ids.start + int(around.argmax())] = scores[best] + 1.0

    def losses(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropies (N,) of logits (N, V) and targets (N,), bins' targets spread.

        Less the entropy of what is spread, so that 0 is perfect for every word.
        """
        found = functional.cross_entropy(logits, targets, reduction="none")
        for ids, near in zip(self.ranges, self._near, strict=True):
            mine = (targets >= ids.start) & (targets < ids.stop)
            wanted = (near / near.sum(dim=1, keepdim=True)).to(logits)[targets[mine] - ids.start]
            said = logits[mine].log_softmax(dim=1)[:, ids.start : ids.stop]
            apart = functional.kl_div(said, wanted, reduction="none").sum(dim=1)
            found = found.masked_scatter(mine, apart)
        return found


def _ranges(tokenizer: Any) -> Iterator[range]:
    """Ids of each scale, the lowest bin first."""
    added = sorted((number, str(word)) for number, word in tokenizer.added_tokens_decoder.items())
    bins = [
        (number, found[1], int(found[2]))
        for number, word in added
        if (found := _BIN.fullmatch(word))
    ]
    # Of one scale id and bin grow together.
    for _, group in groupby(bins, key=lambda one: (one[1], one[0] - one[2])):
        numbers = [number for number, _, _ in group]
        yield range(numbers[0], numbers[-1] + 1)


def _gaussian(bins: int, spread_bins: float) -> Tensor:
    """(n, n) how near two bins are, 1 for the same."""
    places = torch.arange(bins, dtype=torch.float32)
    return torch.exp(-0.5 * ((places[:, None] - places) / spread_bins) ** 2)
