"""What RViz and Foxglove draw: the plan, the objects that the planner speaks of, and its words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from drivevlm.drive.bus import Bus, Message
from drivevlm.drive.messages.outgoing import header_message, pose_message
from drivevlm.drive.messages.stamps import duration_message
from drivevlm.drive.plan_message import Trajectory
from drivevlm.drive.publish import Reasoning
from drivevlm.world.boxes import Detection
from drivevlm.world.pose import Floats
from drivevlm.world.sets import Verdict

ARRAY, MARKER = "visualization_msgs/msg/MarkerArray", "visualization_msgs/msg/Marker"
CUBE, LINE_STRIP, TEXT, DELETE_ALL = 1, 4, 9, 3
Rgba = tuple[float, float, float, float]
PUBLISHED: Rgba = (0.1, 0.8, 0.2, 0.9)
HELD_BACK: Rgba = (0.9, 0.1, 0.1, 0.9)
IN_PLACE: Rgba = (1.0, 0.6, 0.0, 0.9)
WHITE: Rgba = (1.0, 1.0, 1.0, 1.0)
OF_VERDICT: dict[Verdict, Rgba] = {
    Verdict.KEPT: (0.1, 0.8, 0.2, 0.5),
    Verdict.DROPPED: (0.5, 0.5, 0.5, 0.3),
    Verdict.ADDED: (0.2, 0.4, 1.0, 0.5),
}
LIFETIME_S = 1.0
LINE_M, LETTER_M, ABOVE_M = 0.3, 0.6, 3.0


def decision_markers(bus: Bus, reasoning: Reasoning, stamp_ns: int, *, base_frame: str) -> Message:
    """A decision as a ``visualization_msgs/MarkerArray``, in the ego frame of decision time.

    All that was drawn before goes. A plan that the gate held back is red.
    """
    header = header_message(bus, stamp_ns, base_frame)
    decision, verdict = reasoning.decision, reasoning.verdict
    markers = [bus.make(MARKER, header=header, action=DELETE_ALL)]
    if decision.plan is not None:
        passed = verdict is not None and verdict.passed
        colour = PUBLISHED if passed else HELD_BACK
        markers.append(_line(bus, header, "plan", decision.plan.xy_ego_m, 0.0, colour))
    markers += _boxes(bus, header, decision.detections)
    markers.append(
        _marker(
            bus,
            header,
            ("words", 0),
            TEXT,
            pose=pose_message(bus, (0.0, 0.0, ABOVE_M), 0.0),
            scale=(0.0, 0.0, LETTER_M),
            colour=WHITE,
            text=words_of(reasoning),
        )
    )
    return bus.make(ARRAY, markers=markers)


def fallback_markers(bus: Bus, trajectory: Trajectory, stamp_ns: int) -> Message:
    """What is published in place of a plan, in the odometry's frame, orange."""
    header = header_message(bus, stamp_ns, trajectory.frame_id)
    line = _line(bus, header, "plan", trajectory.xy_odom_m, trajectory.z_odom_m, IN_PLACE)
    return bus.make(ARRAY, markers=[line])


def words_of(reasoning: Reasoning) -> str:
    """What the decision says, a few lines."""
    decision, lines = reasoning.decision, list[str]()
    if decision.meta is not None:
        lines.append(f"{decision.meta.longitudinal.value}, {decision.meta.lateral.value}")
    if decision.summary:
        lines.append(decision.summary)
    if decision.failure is not None:
        lines.append(f"{decision.failure.kind.value}: {decision.failure.detail}")
    if reasoning.verdict is not None and not reasoning.verdict.passed:
        lines.append(f"held back: {reasoning.verdict}")
    return "\n".join(lines)


def _boxes(bus: Bus, header: Message, detections: Sequence[Detection]) -> Iterator[Message]:
    for k, detection in enumerate(detections):
        box = detection.box
        yield _marker(
            bus,
            header,
            ("objects", k),
            CUBE,
            pose=pose_message(bus, box.center_ego_m, box.yaw_ego_rad),
            scale=tuple(box.size_lwh_m.tolist()),
            colour=OF_VERDICT[detection.verdict],
            text=f"{box.id} {box.category}".strip(),
        )


def _line(bus: Bus, header: Message, name: str, xy_m: Floats, z_m: float, colour: Rgba) -> Message:
    """From the first to the last of (N, 2) positions in the header's frame."""
    points = [
        bus.make("geometry_msgs/msg/Point", x=float(x_m), y=float(y_m), z=z_m)
        for x_m, y_m in xy_m.tolist()
    ]
    return _marker(
        bus, header, (name, 0), LINE_STRIP, scale=(LINE_M, 0.0, 0.0), colour=colour, points=points
    )


def _marker(
    bus: Bus,
    header: Message,
    key: tuple[str, int],
    kind: int,
    *,
    scale: Sequence[float],
    colour: Rgba,
    pose: Message | None = None,
    points: Sequence[Message] = (),
    text: str = "",
) -> Message:
    x, y, z = scale
    red, green, blue, opacity = colour
    return bus.make(
        MARKER,
        header=header,
        ns=key[0],
        id=key[1],
        type=kind,
        pose=pose if pose is not None else pose_message(bus, (0.0, 0.0, 0.0), 0.0),
        scale=bus.make("geometry_msgs/msg/Vector3", x=x, y=y, z=z),
        color=bus.make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=opacity),
        lifetime=duration_message(bus, LIFETIME_S),
        points=list(points),
        text=text,
    )
