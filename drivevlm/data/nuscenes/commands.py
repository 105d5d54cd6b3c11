"""The router's command: from a file, or by the peers' rule from the recorded future (a LEAK)."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any

from drivevlm.data.nuscenes.config import NuScenesConfig
from drivevlm.data.nuscenes.files import file_digest, read_by_token
from drivevlm.data.recording import DataError
from drivevlm.world.clip import RouteCommand
from drivevlm.world.pose import Pose3
from drivevlm.world.sets import Command, Provenance
from drivevlm.world.truth import FUTURE_STEPS, Truth

SIDE_M = 2.0
"""The peers' rule: a lateral displacement of the lidar beyond this is a turn."""


@dataclass(frozen=True, slots=True)
class Commander:
    """Gives each clip its command.

    Attributes:
        source: ``none``, ``gt_future`` or a path.
        by_token: What a file says.
        digest: Of the file.
    """

    source: str
    by_token: Mapping[str, RouteCommand] = field(default_factory=dict)
    digest: str = ""

    @classmethod
    def of(cls, config: NuScenesConfig, *, known: Container[str]) -> Commander:
        """From the settings; reads and checks a file where one is named."""
        if config.command in ("none", "gt_future"):
            return cls(config.command)
        values = read_by_token(config.command, known=known, what="data.command")
        commands = {token: _read(token, value) for token, value in values.items()}
        return cls(config.command, commands, file_digest(config.command))

    @property
    def words(self) -> str:
        """The source, for tables."""
        return self.source if self.source in ("none", "gt_future") else "file"

    @property
    def needs_truth(self) -> bool:
        """Whether commands are read off the recorded future."""
        return self.source == "gt_future"

    def command(self, token: str, truth: Truth | None) -> RouteCommand | None:
        """The command of a clip; None where there is none."""
        if self.needs_truth and truth is not None:
            return RouteCommand(command_of_future(truth), Provenance.GT_FUTURE)
        return self.by_token.get(token)


def command_of_future(truth: Truth) -> Command:
    """UniAD's and VAD's rule: the sideways displacement of the lidar at the last recorded step.

    2 m or more to the right is ``right``, to the left ``left``, anything else ``straight``, also
    where no future is recorded.
    """
    last = max((k for k in truth.steps if 0 < k <= FUTURE_STEPS), default=0)
    identity = Pose3.identity()
    then, now = truth.steps[last], truth.now
    global_from_lidar = now.global_from_ego @ (now.ego_from_lidar or identity)
    global_from_later = then.global_from_ego @ (then.ego_from_lidar or identity)
    moved = global_from_lidar.inverse() @ global_from_later
    # The lidar's x points right; without a lidar the ego's y points left.
    right_m = moved.translation_m[0] if now.ego_from_lidar else -moved.translation_m[1]
    if right_m >= SIDE_M:
        return Command.RIGHT
    return Command.LEFT if right_m <= -SIDE_M else Command.STRAIGHT


def _read(token: str, value: Any) -> RouteCommand:
    fields = {"command": value} if isinstance(value, str) else value
    if not isinstance(fields, dict) or not set(fields) <= {"command", "text", "distance_m"}:
        raise DataError(
            f"data.command: {token} takes a word or {{command, text, distance_m}}, got {value!r}"
        )
    try:
        command = Command(fields.get("command"))
    except ValueError:
        words = ", ".join(c.value for c in Command)
        raise DataError(
            f"data.command: {token} has {fields.get('command')!r}, expected one of {words}"
        ) from None
    distance_m = fields.get("distance_m")
    if distance_m is not None and not isinstance(distance_m, (int, float)):
        raise DataError(f"data.command: {token} has distance_m {distance_m!r}, expected a number")
    return RouteCommand(command, Provenance.FILE, str(fields.get("text", "")), distance_m)
