"""Watches one town for a while: which scenes and pairs its traffic offers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from drivevlm_sim.make.plan import TrafficJob, counted
from drivevlm_sim.make.recipe import KEYFRAME_S, Choice, WorldRecipe
from drivevlm_sim.make.traffic_part import members_of
from drivevlm_sim.scene_log import STEP_S, SceneLog
from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.traffic.facts import Witness
from drivevlm_sim.traffic.families import Family
from drivevlm_sim.traffic.jaywalkers import Peopled
from drivevlm_sim.traffic.record import DEPARTURES_S, Recording, simulate
from drivevlm_sim.traffic.roads import Roads, read_roads
from drivevlm_sim.traffic.scene import Scenes, Sky
from drivevlm_sim.traffic.windows import at_random, for_training
from drivevlm_sim.twins.pairs import find_pairs
from drivevlm_sim.twins.story import BUSY, tell
from drivevlm_sim.twins.twin_pair import Family as TwinFamily

SPARE = 2
"""Towns look for so many times their share, so that the draw over all towns has a choice."""
LEAST_S, PER_FILM_S = 90.0, 15.0
"""Seconds of traffic that a run has at least, and for each scene or pair wanted of it."""
TRIES_PER_PAIR = 5
"""At most so many tries are made for a pair of a family's share: some families are hard to get."""


def watch(folder: Path, job: TrafficJob) -> dict[str, bytes]:
    """The part of a job: logs of scenes and pairs, and what was filtered out, by reason."""
    recipe = job.recipe
    seed = recipe.traffic_seed(job.town, job.run)
    story = tell(make_town(recipe.town(job.town)), seed=seed, seconds=watched_s(recipe))
    scenes, reasons = windows(recipe, story.recording) if recipe.scenes else ([], {})
    pairs, lost = [], []
    if recipe.pairs:
        most = most_pairs(recipe)
        tries = {family: pairs * TRIES_PER_PAIR for family, pairs in most.items()}
        found = find_pairs(story, families=recipe.twin_families, most_tries=tries, most_pairs=most)
        pairs = list(found.pairs)
        lost = [counts.rejects for counts in found.counts.values()]
    return members_of(scenes, pairs, {"scenes": reasons, "pairs": counted(lost)})


def again(recipe: WorldRecipe, town: int, run: int) -> tuple[Peopled, Roads]:
    """What a job watches, ready to make its first step; and the roads of its town."""
    made = make_town(recipe.town(town))
    roads = read_roads(made.net_xml, made.offset_m)
    seed = recipe.traffic_seed(town, run)
    return simulate(made, roads, seed=seed, seconds=DEPARTURES_S, demand=BUSY), roads


def watched_s(recipe: WorldRecipe) -> float:
    """How long each run is: as the recipe says, and less where little is wanted of it."""
    films = (recipe.scenes + recipe.pairs) / (recipe.towns * recipe.runs)
    return min(recipe.traffic_s, LEAST_S + PER_FILM_S * films)


def most_pairs(recipe: WorldRecipe) -> dict[TwinFamily, int]:
    """How many pairs of each family a run gives at most."""
    even = recipe.pairs / len(recipe.twin_families)
    runs = recipe.towns * recipe.runs
    most = dict.fromkeys(recipe.twin_families, math.ceil(even * SPARE / runs))
    if TwinFamily.SIGNAL_APPROACH in most:  # towns without signals have none
        wanted = max(even, recipe.approaching) * SPARE / runs
        most[TwinFamily.SIGNAL_APPROACH] = math.ceil(wanted)
    return most


def windows(recipe: WorldRecipe, recording: Recording) -> tuple[list[SceneLog], Mapping[str, int]]:
    """Scenes of a recording as the recipe wants them chosen, and rejections by reason."""
    cutter = Scenes(Witness(recording))
    steps = round((recipe.keyframes - 1) * KEYFRAME_S / STEP_S) + 1
    families = recipe.families or tuple(Family)
    share = -(-recipe.scenes * SPARE // (recipe.towns * recipe.runs))
    if recipe.choice is Choice.EVENTS:
        choice = for_training(
            cutter, count=share, steps=steps, seed=recording.seed, families=families
        )
    else:
        each = -(-share // len(families))
        choice = at_random(
            cutter, per_family=each, steps=steps, seed=recording.seed, families=families
        )
    logs = [
        cutter.scene(
            window.ego,
            first=window.first,
            steps=window.steps,
            name=f"{recording.town}/{recording.seed}/{window.ego}-{window.first}",  # see first_step
            family=window.family.value,
            sky=Sky(),
        )
        for window in choice.windows
    ]
    return logs, choice.rejected


def first_step(scene: str) -> int:
    """The step of its recording with which a scene of ``windows`` begins, by its name."""
    return int(scene.rpartition("-")[2])
