"""The parts of an evaluation, put together from a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from drivevlm.baselines import MOTIONS, Baseline, NoPastError, stop
from drivevlm.build.assets import asset_folder
from drivevlm.build.ego_mlp import EgoMlpRow, mlp_rows
from drivevlm.build.settings import SettingError, plain
from drivevlm.build.table import ALL, BlockSetting, Chosen, Say
from drivevlm.build.taught import unlike_taught
from drivevlm.data.recording import Recording
from drivevlm.dialogue.blocks import Block, BlockConfig, Switch
from drivevlm.dialogue.dialogue import Dialogue, Example
from drivevlm.evaluate.entrants import Fallback
from drivevlm.evaluate.exchange import Swap, exchange_for
from drivevlm.evaluate.expert import Expert, examples_from
from drivevlm.evaluate.mlps import MLPS
from drivevlm.evaluate.plan_run import Exchange, Shard
from drivevlm.metrics.planning import PlanningProtocol, plan_at_steps
from drivevlm.metrics.protocols import PROTOCOLS
from drivevlm.planner import Planner, VLMPlanner, no_examples
from drivevlm.vlm.config import NativeConfig
from drivevlm.vlm.seam import VLM
from drivevlm.world.clip import Clip
from drivevlm.world.plan import Plan

DECIDING = ("batch_size", "attention", "spread_bins")
"""Settings of a model that can change what it says and that its revision does not cover."""


@dataclass(frozen=True, slots=True)
class Parts:
    """An evaluation, ready to run.

    Attributes:
        chosen: The configuration.
        recording: The data.
        dialogue: The prompt.
        shard: The part of the scenes.
        exchange: Of blocks between clips; None for none.
        mlps: What the rows of small networks learn from, by planner.
    """

    chosen: Chosen
    recording: Recording
    dialogue: Dialogue
    shard: Shard
    exchange: Exchange | None
    mlps: Mapping[str, EgoMlpRow] = field(default_factory=dict)

    @classmethod
    def of(cls, chosen: Chosen, say: Say, *, prompts: Path | None = None) -> Parts:
        """Open the data and read the prompt. Raises DataError, PromptError, SettingError.

        ``prompts`` is the folder of a run's own words, read where it is there. A small network
        that cannot be trained is left out of ``chosen``, and that is said.
        """
        try:
            shard = Shard.parse(chosen.settings.run.shard)
        except ValueError as error:
            raise SettingError(f"run.shard: {error}") from None
        _check_horizon(chosen)
        prompt, folder = chosen.prompt, asset_folder("prompts")
        if prompts is not None and prompts.is_dir():
            prompt, folder = replace(prompt, name=Path(prompt.name).stem), prompts
        dialogue = Dialogue.of(prompt, switches(chosen), folder)
        recording = chosen.recording(say)
        _check_cameras(chosen, recording)
        rows = mlp_rows(chosen, recording, say)
        for name in (name for name in chosen.settings.planner if name in MLPS):
            chosen = chosen if name in rows else _without(chosen, name)
        return cls(chosen, recording, dialogue, shard, exchange(chosen, recording), rows)

    def planners(self, vlm: VLM | None) -> list[Planner]:
        """The planners by their settings' order; ``vlm`` is needed where one of them asks it."""
        return [self._planner(name, vlm) for name in self.chosen.settings.planner]

    def _planner(self, name: str, vlm: VLM | None) -> Planner:
        prompt = self.chosen.prompt
        if name == "expert":
            return Expert(self.recording)
        if name in self.mlps:
            return self.mlps[name].planner(self.recording)
        if name in MOTIONS:
            return Baseline(name, prompt.steps, prompt.dt_s)
        if vlm is None:
            raise ValueError("planner vlm needs a model")
        return self.asking(vlm)

    def asking(self, vlm: VLM) -> VLMPlanner:
        """The planner that asks a VLM, whether or not the settings name it."""
        prompt = self.chosen.prompt
        dialogue = self.dialogue.fitted(vlm, self.recording.most_proposals)
        examples: Callable[[Clip], tuple[Example, ...]] = no_examples
        if dialogue.example_count:
            examples = examples_from(
                self.recording, count=dialogue.example_count, seed=prompt.example_seed
            )
        run = self.chosen.settings.run
        return VLMPlanner("vlm", vlm, dialogue, examples, deadline_s=run.deadline_s, seed=run.seed)

    def doubts(self) -> list[str]:
        """Why a model of ours may not answer as it learned to, a line each."""
        config = self.chosen.vlm[1]
        if not isinstance(config, NativeConfig):
            return []
        return unlike_taught(config.folder, self.dialogue)

    def protocols(self) -> list[PlanningProtocol]:
        """Who scores."""
        named = self.chosen.settings.protocol
        return [PROTOCOLS[name] for name in (PROTOCOLS if named == ALL else named)]

    def fallback(self) -> Fallback:
        """The declared stand-in for a failed plan; a stop where it lacks the past that it needs."""
        motion, prompt = MOTIONS[self.chosen.settings.fallback], self.chosen.prompt

        def plan(clip: Clip) -> Plan:
            try:
                return motion(clip, prompt.steps, prompt.dt_s)
            except NoPastError:
                return stop(clip, prompt.steps, prompt.dt_s)

        return plan

    @property
    def fallback_words(self) -> str:
        """The fallback, for tables."""
        name = self.chosen.settings.fallback
        return name if name == "stop" else f"{name}; stop where it lacks a past"

    def identity(self, vlm: VLM | None) -> dict[str, Any]:
        """All that decides the decisions."""
        settings = self.chosen.settings
        model = None
        if vlm is not None:
            settings_now = plain(self.chosen.vlm[1])
            deciding = {key: settings_now[key] for key in DECIDING if key in settings_now}
            model = {"name": vlm.name, "revision": vlm.revision, **deciding}
        models: dict[str, Any] = {"vlm": model}
        models |= {name: row.recipe for name, row in self.mlps.items()}
        return {
            "data": {"name": self.recording.name, "digest": self.recording.digest},
            "prompt": {**plain(self.chosen.prompt), "digest": self.dialogue.digest},
            "blocks": plain(settings.block),
            "models": models,
            "planners": list(settings.planner),
            "seed": settings.run.seed,
            "deadline_s": settings.run.deadline_s,
            "shard": str(self.shard),
        }


def _without(chosen: Chosen, name: str) -> Chosen:
    try:
        return chosen.without(name)
    except ValueError:
        raise SettingError(f"planner: only {name}, which is left out, so nobody plans") from None


def _check_horizon(chosen: Chosen) -> None:
    """Before anything is decided: what cannot be scored at the end is said at the start."""
    prompt = chosen.prompt
    try:
        if chosen.settings.protocol:
            plan_at_steps(Plan(np.zeros((prompt.steps, 2)), dt_s=prompt.dt_s))
    except ValueError as error:
        raise SettingError(
            f"prompt.steps={prompt.steps} prompt.dt_s={prompt.dt_s:g}: {error}; change them, or "
            "take no protocol (protocol=[])"
        ) from None


def _check_cameras(chosen: Chosen, recording: Recording) -> None:
    """A camera may drop out of a clip; one that the recording never has was misspelt."""
    images = chosen.prompt.images
    for setting, names in (("cameras", images.cameras), ("fovea", images.fovea)):
        unknown = [name for name in names if name not in recording.cameras]
        if unknown:
            raise SettingError(
                f"prompt.images.{setting}: there is no camera {unknown[0]}, "
                f"{recording.name} has {', '.join(recording.cameras) or 'none'}"
            )


def needs_model(planners: Sequence[str]) -> bool:
    """Whether one of the planners asks a VLM."""
    return "vlm" in planners


def switches(chosen: Chosen) -> BlockConfig:
    """What the dialogue knows of the block settings: exchanged content is shown like any."""
    named = {block: getattr(chosen.settings.block, block.value) for block in Block}
    known = {switch.value for switch in Switch}
    return BlockConfig(
        **{
            block.value: Switch(setting.value) if setting.value in known else Switch.ON
            for block, setting in named.items()
        }
    )


def exchange(chosen: Chosen, recording: Recording) -> Exchange | None:
    """What ``evaluate`` does of the block settings: exchange contents between clips."""
    swaps = {}
    for block in Block:
        setting: BlockSetting = getattr(chosen.settings.block, block.value)
        if setting.value in {swap.value for swap in Swap}:
            swaps[block] = Swap(setting.value)
    return exchange_for(recording, swaps, seed=chosen.settings.run.seed)
