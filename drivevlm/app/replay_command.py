"""The verb of replays."""

from __future__ import annotations

from dataclasses import fields

from rich.console import Console

from drivevlm import verbs
from drivevlm.app.settings import GROUPS, changed, composed, nearest, with_defaults
from drivevlm.app.verb import Verb
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Settings

OWN = frozenset(part.name for part in fields(verbs.ReplaySettings))
OF_EVAL = frozenset((*GROUPS, *(part.name for part in fields(Settings))))
PLANNERS = "planner=[constant_velocity,ctrv,ego_mlp,stop,expert]"
"""The rows beside a node unless told otherwise."""
ANCHOR = "data.t0=anchor"
"""A vehicle decides when a camera has a picture."""
NODE = (
    "drivevlm node loopback=true use_sim_time=true objects.type=predicted_objects sync.top_k=8"
    " max_latency_ms=60000"
)
"""It hears the bundled worlds as ``eval`` reads them, and may think for a minute."""


def _replay(words: list[str]) -> int:
    own, rest = list[str](), list[str]()
    for word in words:
        head = word.partition("=")[0].partition(".")[0]
        if head not in OWN | OF_EVAL and "=" in word:
            near = nearest(head, sorted(OWN | OF_EVAL))
            raise SettingError(f"{head} is no setting{near}: see drivevlm replay --help")
        (own if head in OWN else rest).append(word)
    settings = changed(verbs.ReplaySettings(), own, "setting of replay")
    values, groups = composed(with_defaults((PLANNERS,), rest))
    if "t0" in values["data"] and not any(word.startswith("data.t0=") for word in rest):
        values["data"]["t0"] = ANCHOR.partition("=")[2]
    path, answered = verbs.replay(settings, values, groups, Console())
    print(path)
    return 0 if answered else 1


REPLAY_VERBS = {
    "replay": Verb(
        "play a recording to a node, live or waiting for each answer, or write it as a bag",
        (
            NODE,
            "drivevlm replay loopback=true lockstep=true out=runs/lockstep",
            "drivevlm replay loopback=true rate=0.5 out=runs/live",
            "drivevlm replay to=bag bag=runs/drive.mcap data=nuscenes data.root=/data/nuscenes",
        ),
        _replay,
        defaults=(ANCHOR, PLANNERS),
        own=verbs.ReplaySettings,
    ),
}
