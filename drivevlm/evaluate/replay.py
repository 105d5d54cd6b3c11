"""What a planner was shown, made again from its records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from drivevlm.data.recording import Recording, SceneClips
from drivevlm.evaluate.plan_run import Exchange
from drivevlm.planner import Planner
from drivevlm.record.run_folder import Key, Record
from drivevlm.world.clip import Clip


def shown_clip(
    recording: Recording,
    planner: Planner,
    records: Mapping[Key, Record],
    scenes: Sequence[SceneClips],
    token: str,
    *,
    exchange: Exchange | None = None,
) -> Clip:
    """A clip as the planner saw it: with its memory of the clip before, and exchanged blocks."""
    clip = recording.clip(token)
    tokens = next(scene.tokens for scene in scenes if token in scene.tokens)
    place = tokens.index(token)
    before = records.get((planner.name, tokens[place - 1])) if place else None
    if before is not None:
        planner.remember(recording.clip(before.clip), before.decision)
        clip = planner.recall(clip)
    return clip if exchange is None else exchange(clip)
