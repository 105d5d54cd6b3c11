"""What a page shows of one clip."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from drivevlm.world.clip import Clip
from drivevlm.world.decision import Decision
from drivevlm.world.truth import Truth


@dataclass(frozen=True, slots=True, eq=False)
class ClipView:
    """One clip, what was answered to it, and what that earned.

    Attributes:
        clip: As the main planner saw it: its blocks are shown.
        truth: The recorded future and the labels; None where the recording has no poses.
        decisions: By planner's name, the main planner first.
        sort_value: The larger, the worse; None where it could not be judged (shown last).
        prompt_text: What the main planner was asked, in words; "" where nothing was.
        scores: By planner's name, then by the name of the number with its protocol and unit,
            e.g. ``scores["mine"]["vad L2 3 s (m)"]``; None where it could not be judged.
    """

    clip: Clip
    truth: Truth | None
    decisions: Mapping[str, Decision]
    sort_value: float | None = None
    prompt_text: str = ""
    scores: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.truth is not None and self.truth.token != self.clip.token:
            raise ValueError(
                f"a view of clip {self.clip.token} was given the truth of {self.truth.token}"
            )
