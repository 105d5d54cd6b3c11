"""How one lesson is asked: which blocks are shown, how noisy the ego is, which answer is wanted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.dialogue import Dialogue
from drivevlm.train.augment import Look
from drivevlm.train.config import FORMS, Dropout, EgoNoise, TrainConfig
from drivevlm.world.clip import Clip
from drivevlm.world.ego import EgoHistory, EgoStatus

Rng = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One way of asking, the same for both sides of a pair of twins.

    Attributes:
        dialogue: With its blocks and sections.
        draw: Entropy of the noise on the ego.
        cameras_off: Names of cameras that drop out.
        look: How pictures are changed; None leaves them.
    """

    dialogue: Dialogue
    draw: int
    cameras_off: frozenset[str]
    look: Look | None


class Forms:
    """Draws ways of asking.

    Args:
        dialogue: The prompt; a block that it does not show is never shown.
        config: Chances and shares.
    """

    def __init__(self, dialogue: Dialogue, config: TrainConfig) -> None:
        shares = {name: getattr(config.forms, name) for name in FORMS}
        total = sum(shares.values())
        self._chances = [share / total for share in shares.values()]
        self._dialogues = {
            name: replace(dialogue, format=replace(dialogue.format, sections=sections))
            for name, sections in FORMS.items()
        }
        self._blocks = dialogue.blocks
        self._config = config
        self._with: dict[tuple[str, BlockConfig], Dialogue] = {}

    @property
    def whole(self) -> Dialogue:
        """Every block that may be shown, and the longest answer that is ever asked for."""
        taught = [name for name, chance in zip(FORMS, self._chances, strict=True) if chance]
        return self._dialogues[max(taught, key=lambda name: len(FORMS[name]))]

    def answer(self, rng: Rng) -> str:
        """Which answer is wanted, a name of ``FORMS``, by the generator alone."""
        return list(FORMS)[int(rng.choice(len(FORMS), p=self._chances))]

    def draw(self, name: str, rng: Rng, cameras: tuple[str, ...]) -> Form:
        """A way of asking for an answer, by the generator alone."""
        blocks = dropped(self._blocks, self._config.dropout, rng)
        if (name, blocks) not in self._with:
            self._with[name, blocks] = replace(self._dialogues[name], blocks=blocks)
        chance = self._config.dropout.camera
        asked = self.whole.config.images.cameras
        sent = [camera for camera in cameras if not asked or camera in asked]
        off = [camera for camera in sent if chance and rng.random() < chance]
        return Form(
            self._with[name, blocks],
            int(rng.integers(2**63)),
            frozenset(off if len(off) < len(sent) else ()),
            Look.draw(self._config.augment, rng) if self._config.augment.on else None,
        )

    def shown(self, form: Form, clip: Clip) -> Clip:
        """The clip as this way of asking shows it."""
        rng = np.random.default_rng(form.draw)
        kept = tuple(s for s in clip.cameras if s.camera.name not in form.cameras_off)
        return noisy(replace(clip, cameras=kept), self._config.noise, rng)


def dropped(blocks: BlockConfig, chances: Dropout, rng: Rng) -> BlockConfig:
    """The switches, some blocks turned off; the cameras never."""
    changes: Mapping[str, Switch] = {
        block.value: Switch.OFF
        for block in Block
        if block is not Block.CAMERAS
        and rng.random() < (chances.ego_status if block is Block.EGO_STATUS else chances.block)
    }
    return replace(blocks, **changes)


def noisy(clip: Clip, noise: EgoNoise, rng: Rng) -> Clip:
    """The clip with noise on its ego's motion; the present pose stays the origin."""
    status, history = clip.status, clip.history
    speed, acceleration, yaw_rate = rng.normal(size=3)
    if status is not None:
        status = EgoStatus(
            status.speed_mps + noise.speed_mps * float(speed),
            _plus(status.acceleration_mps2, noise.acceleration_mps2 * float(acceleration)),
            _plus(status.yaw_rate_radps, noise.yaw_rate_radps * float(yaw_rate)),
            status.provenance,
        )
    if history is not None:
        off_m = noise.position_m * rng.normal(size=history.xy_ego_m.shape)
        off_m[-1] = 0.0
        history = EgoHistory(history.stamp_us, history.xy_ego_m + off_m, history.yaw_ego_rad)
    return replace(clip, status=status, history=history)


def _plus(value: float | None, off: float) -> float | None:
    return None if value is None else value + off
