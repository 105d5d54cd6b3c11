"""The six switchable blocks of a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Block(str, Enum):
    """A prompt input; the same words in prompt, settings and report."""

    CAMERAS = "cameras"
    EGO_STATUS = "ego_status"
    SCENE_SUMMARY = "scene_summary"
    PROPOSALS = "proposals"
    PRIOR = "prior"
    COMMAND = "command"


class Switch(str, Enum):
    """How a block is shown."""

    ON = "on"  # with its content
    OFF = "off"  # not at all
    BLANK = "blank"  # its heading, without content (grey pictures for the cameras)


@dataclass(frozen=True, slots=True)
class BlockConfig:
    """One switch per block."""

    cameras: Switch = Switch.ON
    ego_status: Switch = Switch.ON
    scene_summary: Switch = Switch.ON
    proposals: Switch = Switch.ON
    prior: Switch = Switch.ON
    command: Switch = Switch.ON

    def of(self, block: Block) -> Switch:
        """The switch of a block."""
        switch: Switch = getattr(self, block.value)
        return switch
