"""A validation that plans: the checkpoint is loaded and asked as it will be in earnest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drivevlm.data.recording import Recording, twins_of
from drivevlm.dialogue.blocks import Switch
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.metrics.planning import plan_at_steps
from drivevlm.metrics.reasons import reason_figures
from drivevlm.metrics.twins import twin_figures, twin_scores
from drivevlm.planner import VLMPlanner
from drivevlm.train.lessons import Progress
from drivevlm.train.loop import Validate, Validated
from drivevlm.train.perceiving import Figures, with_figures
from drivevlm.vlm.config import NativeConfig
from drivevlm.world.decision import Decision
from drivevlm.world.truth import Truth


def validation(
    recordings: Sequence[Recording],
    dialogue: Dialogue,
    *,
    batch_size: int,
    most: int,
    seed: int,
    progress: Progress,
) -> Validate:
    """Lets a model plan clips of these recordings, with open eyes and with grey pictures.

    Args:
        recordings: To validate on; of several with twins the first one's accuracy counts.
        dialogue: As the model is taught.
        batch_size: Clips planned at once.
        most: Clips of each recording at most, drawn by seed, pairs whole; 0 takes all.
        seed: Of the draw.
        progress: Is told of every clip.
    """
    chosen = [_Chosen.of(recording, most=most, seed=seed) for recording in recordings]

    def validate(folder: Path) -> Validated:
        from drivevlm.vlm.native.engine import NativeVLM

        vlm = NativeVLM(NativeConfig(model=str(folder), batch_size=batch_size, batch_wait_ms=20))
        try:
            figures: Figures = {}
            for each in chosen:
                asked = dialogue.fitted(vlm, each.recording.most_proposals)
                grey = _blind(asked)
                seen = _decided(VLMPlanner("vlm", vlm, asked), each, batch_size, progress)
                blind = _decided(VLMPlanner("vlm", vlm, grey), each, batch_size, progress)
                figures = with_figures(figures, each.figures(seen, blind))
        finally:
            vlm.close()
        return Validated(figures, _score(figures))

    return validate


def _score(figures: Mapping[str, float | None]) -> float:
    """Pairs told apart, where there are any; else how near the plans are."""
    pairs, l2_m = figures.get("twin_pairs"), figures.get("l2_m")
    if pairs is not None:
        return pairs - 0.01 * (l2_m or 0.0)
    return -np.inf if l2_m is None else -l2_m


def _blind(dialogue: Dialogue) -> Dialogue:
    from dataclasses import replace

    return replace(dialogue, blocks=replace(dialogue.blocks, cameras=Switch.BLANK))


def _decided(
    planner: VLMPlanner, chosen: _Chosen, batch_size: int, progress: Progress
) -> dict[str, Decision]:
    """By token. Clips are asked without memory, several at a time, so that batches fill up."""
    decisions = {}
    with ThreadPoolExecutor(2 * batch_size) as pool:
        asked = pool.map(lambda token: planner.decide(chosen.recording.clip(token)), chosen.tokens)
        for done, (token, decision) in enumerate(zip(chosen.tokens, asked, strict=True), 1):
            decisions[token] = decision
            progress("validation", done, len(chosen.tokens))
    return decisions


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """Clips of a recording with their truths."""

    recording: Recording
    tokens: tuple[str, ...]
    truths: Mapping[str, Truth]

    @classmethod
    def of(cls, recording: Recording, *, most: int, seed: int) -> _Chosen:
        twins = {token: pair.tokens for pair in twins_of(recording) for token in pair.tokens}
        tokens = [token for scene in recording.scenes() for token in scene.tokens]
        truths = {token: recording.truth(token) for token in tokens}
        whole = {t: v for t, v in truths.items() if v is not None and v.future_valid.all()}
        units = list(dict.fromkeys(twins.get(token, (token,)) for token in tokens))
        units = [unit for unit in units if all(token in whole for token in unit)]
        order = np.random.default_rng([seed, 4]).permutation(len(units))
        taken: list[str] = []
        for k in order:
            if most and len(taken) + len(units[k]) > most:
                break
            taken += units[k]
        return cls(recording, tuple(taken), {token: whole[token] for token in taken})

    def figures(self, seen: Mapping[str, Decision], blind: Mapping[str, Decision]) -> Figures:
        """Of open eyes, and of grey pictures by names that begin with ``blind``."""
        pairs = [p for p in twins_of(self.recording) if all(t in self.truths for t in p.tokens)]
        kind = "twin_" if pairs else ""
        told: Figures = {f"{kind}n": len(seen)}
        for prefix, decisions in (("", seen), ("blind_", blind)):
            if pairs:
                plans = {token: decision.plan for token, decision in decisions.items()}
                futures = {token: truth.future_path()[0] for token, truth in self.truths.items()}
                scores = twin_scores(pairs, plans, futures)
                figures = twin_figures(scores, n_total=len(pairs))
                told[f"{prefix}twin_pairs"] = figures["pair"]
                told[f"{prefix}twin_l2_m"] = self._l2_m(decisions)
                if not prefix:
                    families = figures["by"]["family"]
                    told |= {f"twin_pairs {name}": f["pair"] for name, f in families.items()}
            else:
                told[f"{prefix}l2_m"] = self._l2_m(decisions)
            told[f"{prefix}{kind}answered"] = float(
                np.mean([not d.failure for d in decisions.values()])
            )
        reasons = reason_figures(seen, self.truths.values()) or {}
        for name in ("signal", "longitudinal", "lateral"):
            told[f"{kind}{name}"] = reasons.get(name, {}).get("accuracy")
        return told

    def _l2_m(self, decisions: Mapping[str, Decision]) -> float | None:
        """Mean distance to what was driven at 0.5 to 3 s, over plans that were given."""
        off_m = [
            np.hypot(
                *(plan_at_steps(decision.plan).xy_ego_m - self.truths[token].future_path()[0]).T
            )
            for token, decision in decisions.items()
            if decision.plan is not None
        ]
        return float(np.mean(off_m)) if off_m else None
