"""True reasons of a film's keyframes: the log's, limited to what the cameras have shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from random import Random

from drivevlm_sim.keyframes import Keyframe
from drivevlm_sim.labels.label import labels_of
from drivevlm_sim.labels.say import KEPT_FOR_VALIDATION
from drivevlm_sim.labels_file import label_line, label_values
from drivevlm_sim.make.tested import Tested
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.town.town import Town, Turn

REASONS = "reasons.json"
SEEN_PIXELS = 6
"""What covers fewer pixels of every camera is not seen."""
RECALLED_KEYFRAMES = 4
"""What was seen so many keyframes ago, 2 s, may still be told of."""


def reasons_member(
    log: SceneLog,
    town: Town,
    frames: Sequence[tuple[int, Keyframe, Sight]],
    *,
    validation: bool,
    prefix: str = "",
    tested: Tested | None = None,
) -> dict[str, bytes]:
    """The reasons of keyframes as a member of a part.

    Args:
        log: The scene.
        town: It plays in.
        frames: Step, keyframe and sight of each, the oldest first.
        validation: Whether the paraphrases are those that training never shows.
        prefix: Of the member's name.
        tested: What was taken away to see whether it matters.
    """
    seen = [_seen(log, town, step, sight) for step, _, sight in frames]
    told = []
    for k, (step, frame, _) in enumerate(frames):
        recent = seen[max(0, k - RECALLED_KEYFRAMES) : k + 1]
        words = Random(f"{log.name} {step}").randrange(KEPT_FOR_VALIDATION)
        labels = labels_of(
            log,
            step,
            seen=set().union(*(names for names, _ in recent)),
            signal_seen=any(light for _, light in recent),
            paraphrases=KEPT_FOR_VALIDATION if validation else words,
            tested=(tested or {}).get(step),
        )
        told.append([frame.stamp_us, label_values(labels)])
    return {f"{prefix}{REASONS}": json.dumps(told).encode()}


def lines_of(
    members: Mapping[str, bytes],
    prefix: str,
    *,
    sample_of: Callable[[int], str],
    token_of: Callable[[str], str],
) -> list[str]:
    """The lines of a part's keyframes, with the tokens of the tables.

    Args:
        members: Of the part.
        prefix: As they were written with.
        sample_of: The sample token of a keyframe by its stamp in the part.
        token_of: The instance token of a track's name.
    """
    told = json.loads(members[f"{prefix}{REASONS}"])
    return [
        label_line(values, sample=sample_of(stamp_us), token_of=token_of)
        for stamp_us, values in told
    ]


def _seen(log: SceneLog, town: Town, step: int, sight: Sight) -> tuple[set[str], bool]:
    """Road users that some camera shows, and whether one shows the ego's light."""
    names = {
        actor.name
        for k, actor in enumerate(sight.actors)
        if max(int(counts[k + 1]) for counts in sight.pixels.values()) >= SEEN_PIXELS
    }
    plan, link = str(log.facts["signal"][step]), int(log.facts["signal_link"][step])
    own = own_heads(town, plan, link) if plan else ()
    pixels = max((max(sight.head_pixels(k).values()) for k in own), default=0)
    return names, pixels >= SEEN_PIXELS


def own_heads(town: Town, plan: str, link: int) -> tuple[int, ...]:
    """Which of a town's signal heads rule a way across a junction.

    One of them may show another place of the plan: it rules all turns of its kind together.
    """
    ways = (one for one in town.connectors.values() if (one.signal, one.link) == (plan, link))
    way = next(ways, None)
    if way is None:
        return ()
    across = (Turn.RIGHT if town.left_hand else Turn.LEFT, Turn.BACK)
    approach = way.from_lane.rpartition("_")[0]
    heads = [
        (k, (head.turn in across) == (way.turn in across))
        for k, head in enumerate(town.signal_heads)
        if (head.signal, head.approach) == (plan, approach)
    ]
    return tuple(k for k, fits in heads if fits) or tuple(k for k, _ in heads)
