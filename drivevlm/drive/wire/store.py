"""The messages that are known: those of ROS 2 Jazzy, and those whose definitions ship here."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rosbags.typesys.store import Typestore

DEFINITIONS = Path(__file__).parent / "definitions"
"""``<package>/msg/<Name>.msg``, as in a ROS package."""


class WireError(Exception):
    """What keeps the wire from working, in one line: what is missing, or what is set wrong."""


@cache
def typestore() -> Typestore:
    """Reads and writes every message that is known. Types are named ``nav_msgs/msg/Odometry``.

    Raises:
        WireError: rosbags is not installed.
    """
    try:
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise WireError(f"messages need rosbags ({error}): pip install 'drivevlm[dds]'") from None
    store = get_typestore(Stores.ROS2_JAZZY)
    shipped = {}
    for path in sorted(DEFINITIONS.glob("*/msg/*.msg")):
        package = path.parent.parent.name
        text = path.read_text(encoding="utf-8")
        shipped.update(get_types_from_msg(text, f"{package}/msg/{path.stem}"))
    store.register(shipped)
    return store
