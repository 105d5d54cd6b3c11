"""The model that learns, and beside it heads that say what its visual tokens show."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from drivevlm.train.batch import Batch
from drivevlm.train.heads import Heads


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
        device = self._device
        tokens = self.tokens(batch)
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

    def tokens(self, batch: Batch) -> list[Tensor]:
        """(T, D) visual tokens of each image."""
        device = self._device
        images = [image.to(device) for image in batch.images]
        features = images if batch.encoded else self.model.encode(images)
        rays = [None if ray is None else ray.to(device) for ray in batch.rays]
        tokens: list[Tensor] = self.model.project(
            features, rays, batch.ages_s.to(device), batch.grids
        )
        return tokens

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device
