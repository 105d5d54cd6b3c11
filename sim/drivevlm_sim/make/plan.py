"""A recipe as independent jobs: first traffic in every town, then what to film of it.

Traffic is cheap and films are dear, so every shard makes all traffic itself (or finds it made),
draws the same films from it, tests what matters in the scenes among its share, and films that:
shards need nothing of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.make.recipe import (
    FIRST_SCENE,
    FIRST_TWIN,
    SYNTH_VERSION,
    TWINS_VERSION,
    WorldRecipe,
)
from drivevlm_sim.scene_log import Weather
from drivevlm_sim.twins.budget import Offer, draw
from drivevlm_sim.twins.twin_pair import Family


@dataclass(frozen=True, slots=True)
class TrafficJob:
    """Watch one town for a while.

    Attributes:
        recipe: Of the world.
        town: Its number in the recipe.
        run: Which of its runs.
    """

    recipe: WorldRecipe
    town: int
    run: int

    @property
    def name(self) -> str:
        """Of its part."""
        return f"traffic-{self.town:04d}-{self.run:03d}"

    def __str__(self) -> str:
        return f"{self.name} ({self.recipe.town(self.town).name})"


@dataclass(frozen=True, slots=True)
class SceneOffer:
    """A window of traffic that could become a scene.

    Attributes:
        part: The traffic part that holds its log.
        scene: The log's name.
        family: What it is for.
        town: Number of the town.
    """

    part: str
    scene: str
    family: str
    town: int


@dataclass(frozen=True, slots=True)
class PairOffer:
    """A pair that could be drawn, and where it lies."""

    part: str
    town: int
    offer: Offer


@dataclass(frozen=True, slots=True)
class FilmJob:
    """Film one scene or one pair.

    Attributes:
        recipe: Of the world.
        number: Among the scenes, or among the pairs.
        town: Number of the town.
        weather: Of the film.
        candidates: (part, name) of what to film; the first whose cause is seen is taken.
        is_pair: Whether it is a twin pair.
    """

    recipe: WorldRecipe
    number: int
    town: int
    weather: Weather
    candidates: tuple[tuple[str, str], ...]
    is_pair: bool

    @property
    def name(self) -> str:
        """Of its part."""
        return f"{'pair' if self.is_pair else 'scene'}-{self.number:04d}"

    @property
    def version(self) -> str:
        """That its scenes belong to."""
        return TWINS_VERSION if self.is_pair else SYNTH_VERSION

    @property
    def scenes(self) -> tuple[str, ...]:
        """Names of the scenes that it becomes."""
        if self.is_pair:
            return tuple(f"scene-{FIRST_TWIN + 2 * self.number + side}" for side in range(2))
        return (f"scene-{FIRST_SCENE + self.number}",)

    def __str__(self) -> str:
        return f"{self.name} ({self.candidates[0][1]})"


@dataclass(frozen=True, slots=True)
class ReasonJob:
    """Test what matters to the egos of the drawn scenes of one traffic run.

    Attributes:
        recipe: Of the world.
        town, run: As of the traffic job.
        traffic: Name of its part.
        scenes: All drawn ones of that part, so that the part is the same in every shard.
    """

    recipe: WorldRecipe
    town: int
    run: int
    traffic: str
    scenes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its part."""
        return reason_part(self.traffic)

    def __str__(self) -> str:
        return f"{self.name} ({self.recipe.town(self.town).name})"


@dataclass(frozen=True, slots=True)
class Films:
    """What will be filmed, and in words what the recipe wants and the traffic did not give."""

    jobs: tuple[FilmJob, ...]
    missing: tuple[str, ...]


def traffic_jobs(recipe: WorldRecipe) -> tuple[TrafficJob, ...]:
    """One a town and run."""
    runs = range(recipe.runs)
    return tuple(TrafficJob(recipe, town, run) for run in runs for town in range(recipe.towns))


def films(recipe: WorldRecipe, scenes: Sequence[SceneOffer], pairs: Sequence[PairOffer]) -> Films:
    """Draw what to film; equal offers, in any order, give equal films.

    Raises:
        WorldError: Nothing at all, or nothing of a family that the recipe names, can be had.
    """
    _check_families(recipe, scenes, pairs)
    chosen = dealt(scenes, recipe.scenes, recipe.rng_seed("scenes"))
    missing = []
    if len(chosen) < recipe.scenes:
        missing.append(f"{len(chosen)} scenes of {recipe.scenes}")
    jobs = [
        FilmJob(recipe, k, offer.town, _weather(recipe, k), ((offer.part, offer.scene),), False)
        for k, offer in enumerate(chosen)
    ]
    if recipe.pairs:
        pair_jobs, short = _pair_films(recipe, pairs)
        jobs += pair_jobs
        missing += short
    for what, wanted, got in (
        ("scene", recipe.scenes, len(chosen)),
        ("pair", recipe.pairs, len(jobs) - len(chosen)),
    ):
        if wanted and not got:
            raise WorldError(
                f"impossible recipe: its traffic gives no {what} at all: more towns, runs or "
                "traffic_s"
            )
    # A town is made once for the films that follow each other in it.
    return Films(tuple(sorted(jobs, key=lambda job: (job.town, job.name))), tuple(missing))


def reason_part(traffic: str) -> str:
    """Name of the part that tells what matters in the scenes of a traffic part."""
    return traffic.replace("traffic", "reasons", 1)


def reason_jobs(
    drives: Sequence[TrafficJob], all_films: Sequence[FilmJob], mine: Sequence[FilmJob]
) -> tuple[ReasonJob, ...]:
    """One for each traffic job that has scenes among these films."""
    needed = {part for job in mine if not job.is_pair for part, _ in job.candidates}
    drawn: dict[str, list[str]] = {}
    for job in all_films:
        for part, scene in () if job.is_pair else job.candidates:
            drawn.setdefault(part, []).append(scene)
    return tuple(
        ReasonJob(drive.recipe, drive.town, drive.run, drive.name, tuple(sorted(drawn[drive.name])))
        for drive in drives
        if drive.name in needed
    )


def dealt(offers: Iterable[SceneOffer], count: int, seed: int) -> tuple[SceneOffer, ...]:
    """So many offers: families take turns, and in a family the towns."""
    shuffled = sorted(offers, key=lambda offer: (offer.part, offer.scene))
    Random(seed).shuffle(shuffled)
    waiting: dict[str, list[SceneOffer]] = {}
    for offer in shuffled:
        waiting.setdefault(offer.family, []).append(offer)
    chosen: list[SceneOffer] = []
    towns: Counter[int] = Counter()
    while len(chosen) < count and waiting:
        for family in sorted(waiting):
            if len(chosen) == count:
                break
            line = waiting[family]
            offer = min(line, key=lambda offer: towns[offer.town])
            line.remove(offer)
            chosen.append(offer)
            towns[offer.town] += 1
            if not line:
                del waiting[family]
    return tuple(chosen)


def _pair_films(
    recipe: WorldRecipe, pairs: Sequence[PairOffer]
) -> tuple[list[FilmJob], tuple[str, ...]]:
    where = {pair.offer.pair: pair for pair in pairs}
    drawn = draw((pair.offer for pair in pairs), recipe.wish(), recipe.rng_seed("pairs"))
    by_family: dict[Family, list[str]] = {}
    for name in drawn.chosen:
        by_family.setdefault(where[name].offer.family, []).append(name)
    jobs: list[FilmJob] = []
    for family, names in by_family.items():
        spare = drawn.spare[family]
        for k, name in enumerate(names):
            # Each film has spares of its own, so that no film waits to hear what another took.
            line = (name, *spare[k :: len(names)])
            found = tuple((where[one].part, one) for one in line)
            number = len(jobs)
            weather = _weather(recipe, number)
            jobs.append(FilmJob(recipe, number, where[name].town, weather, found, True))
    return jobs, drawn.missing


def _weather(recipe: WorldRecipe, number: int) -> Weather:
    """Weathers in turn, each turn in an order of its own."""
    turn, place = divmod(number, len(recipe.weathers))
    order = list(recipe.weathers)
    Random(recipe.rng_seed("weather", turn)).shuffle(order)
    return order[place]


def _check_families(
    recipe: WorldRecipe, scenes: Sequence[SceneOffer], pairs: Sequence[PairOffer]
) -> None:
    there = {offer.family for offer in scenes}
    lost = [family.value for family in recipe.families if family.value not in there]
    if len(recipe.twin_families) < len(Family) and recipe.pairs:
        offered = {pair.offer.family for pair in pairs}
        lost += [family.value for family in recipe.twin_families if family not in offered]
    if lost:
        towns = ", ".join(recipe.town(k).name for k in range(min(recipe.towns, 5)))
        raise WorldError(
            f"impossible recipe: no town of this world hosts {', '.join(lost)} (towns {towns}"
            f"{' ...' if recipe.towns > 5 else ''}): other families, or more towns, runs, traffic_s"
        )


def shard_of(jobs: Sequence[FilmJob], shard: str) -> tuple[FilmJob, ...]:
    """The i-th of n shares of the films, for ``i/n``.

    Raises:
        WorldError: It is no such thing.
    """
    i, _, n = shard.partition("/")
    if not (i.isdecimal() and n.isdecimal() and int(i) < int(n)):
        raise WorldError(f"run.shard is i/n with 0 <= i < n, e.g. 0/4; got {shard!r}")
    return tuple(jobs[int(i) :: int(n)])


def counted(reasons: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Rejections by reason, added up, the most frequent first."""
    total: Counter[str] = Counter()
    for counts in reasons:
        total.update(counts)
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
