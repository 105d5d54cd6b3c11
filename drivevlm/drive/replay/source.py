"""What a recording must offer to be lived through. It knows no future that a vehicle lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, cast

from drivevlm.world.clip import Clip
from drivevlm.world.pose import Floats
from drivevlm.world.track import PoseTrack


class ReplayError(Exception):
    """A recording cannot be replayed, or nobody hears it; the message is one clear line."""


class SceneTokens(Protocol):
    """One scene and the tokens of its clips, oldest first."""

    @property
    def name(self) -> str:
        """The scene's."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """Of its clips."""


class Replayable(Protocol):
    """A recording with poses, whose clips are decided on at the stamps of the anchor camera."""

    @property
    def name(self) -> str:
        """As tables call it."""

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras that clips may have."""

    def scenes(self) -> Sequence[SceneTokens]:
        """The chosen scenes, in a fixed order."""

    def clip(self, token: str) -> Clip:
        """What a planner may know."""

    def ego_track(self, scene: str) -> PoseTrack:
        """All recorded poses of a scene, in one fixed frame."""

    def lens_wxyz(self, token: str) -> Mapping[str, Floats]:
        """(4,) quaternions w, x, y, z of ``ego_from_camera``, as recorded, of a clip's cameras."""


def replayable(recording: object) -> Replayable:
    """The recording, if it can be lived through. Raises ReplayError where it cannot."""
    name = getattr(recording, "name", type(recording).__name__)
    if not (hasattr(recording, "ego_track") and hasattr(recording, "lens_wxyz")):
        raise ReplayError(
            f"{name} tells no poses between its clips, which odometry is made of: replay the "
            "nuScenes-format data themselves (data=nuscenes data.root=...)"
        )
    if getattr(recording, "twins", ()):
        raise ReplayError(f"{name}: its clips are twins, and no drive of one vehicle")
    return cast(Replayable, recording)
