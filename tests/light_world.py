"""Twins that only the colour of the ego's light tells apart: it drives on at green, else stops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from small_world import HALF_SECOND_US, LIDAR, no_boxes

from drivevlm.data.recording import SceneClips
from drivevlm.world.clip import Clip, RouteCommand
from drivevlm.world.ego import EgoHistory, status_from_history
from drivevlm.world.pose import Pose2, Pose3
from drivevlm.world.scene_labels import SceneLabels, SignalLabel
from drivevlm.world.sets import (
    Command,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
)
from drivevlm.world.truth import FUTURE_STEPS, PAST_STEPS, Truth, TruthStep
from drivevlm.world.twins import TwinCause, TwinPair

SIDES = {"a": Signal.GREEN, "b": Signal.RED}


@dataclass
class LightWorld:
    """Pairs at 4 to 10 m/s, 3 s from the stop line; pair k is a scene."""

    pairs: int = 30
    seed: int = 0
    name: str = "lights"
    digest: str = "lights"
    synthetic: bool = True
    most_proposals: int = 0
    cameras: tuple[str, ...] = ()
    provenance: dict[str, str] = field(default_factory=dict)

    @property
    def twins(self) -> tuple[TwinPair, ...]:
        cause = TwinCause("signal", "head", "CAM_FRONT", 40, 20.0)
        return tuple(
            TwinPair(f"p{k}", "signal", "oak", (f"a{k}", f"b{k}"), cause, 9.0)
            for k in range(self.pairs)
        )

    def scenes(self) -> tuple[SceneClips, ...]:
        return tuple(SceneClips(pair.name, pair.tokens) for pair in self.twins)

    def speed_mps(self, token: str) -> float:
        return float(np.random.default_rng([self.seed, int(token[1:])]).uniform(4.0, 10.0))

    def clip(self, token: str) -> Clip:
        stamps = [k * HALF_SECOND_US for k in range(5)]
        run_m = self.speed_mps(token) / 2
        poses = [Pose2(k * run_m, 0.0, 0.0) for k in range(-4, 1)]
        history = EgoHistory.from_poses(poses, stamp_us=stamps)
        command = RouteCommand(Command.STRAIGHT, Provenance.ROUTE, distance_m=20.0)
        return Clip(
            token,
            f"p{token[1:]}",
            stamps[-1],
            (),
            status=status_from_history(history),
            history=history,
            command=command,
        )

    def truth(self, token: str) -> Truth:
        speed_mps, light = self.speed_mps(token), SIDES[token[0]]
        steps = {}
        for k in range(-PAST_STEPS, FUTURE_STEPS + 1):
            t_s = k / 2
            run_m = speed_mps * t_s
            if light is Signal.RED and k > 0:  # to a stop within 3 s
                run_m = speed_mps * (t_s - t_s**2 / 6)
            pose = Pose3.from_pose2(Pose2(run_m, 0.0, 0.0))
            steps[k] = TruthStep((k + 4) * HALF_SECOND_US, pose, LIDAR, no_boxes())
        stops = Longitudinal.STOP if light is Signal.RED else Longitudinal.TRACK_SPEED
        labels = SceneLabels(
            signal=SignalLabel(light, 1.5 * speed_mps, True),
            lead=None,
            meta=MetaDecision(stops, Lateral.KEEP_LANE),
            tested=(),
            relations=(),
            summary="",
            route=None,
            sentences=(),
            paraphrases=0,
        )
        return Truth(token, f"p{token[1:]}", steps, labels=labels)

    def with_map(self, truth: Truth) -> Truth:
        return truth
