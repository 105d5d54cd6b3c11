"""A recipe becomes a data root: traffic, what matters in it, films, and all put together."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drivevlm_sim.made_once import RECIPE_FILE, WorldError, is_made, made_once, recipe_text
from drivevlm_sim.make.assemble import assemble
from drivevlm_sim.make.plan import FilmJob, films, reason_jobs, shard_of, traffic_jobs
from drivevlm_sim.make.recipe import WorldRecipe
from drivevlm_sim.make.scene import film
from drivevlm_sim.make.stage import Progress, Spent, do_stage, part_path
from drivevlm_sim.make.tested import find_out
from drivevlm_sim.make.traffic import watch
from drivevlm_sim.make.traffic_part import offers_in
from drivevlm_sim.render.gl import check_gl
from drivevlm_sim.traffic.sumo import load_libsumo

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Making:
    """How a world was made.

    Attributes:
        root: The data root; None where films of other shards are still to come.
        parts: The folder of the parts.
        traffic, reasons, filming: What the stages took, here.
    """

    root: Path | None
    parts: Path
    traffic: Spent
    reasons: Spent
    filming: Spent


def parts_folder(out: Path) -> Path:
    """Where the parts of a world lie until it is whole."""
    return out.with_name(f"{out.name}.parts")


def make_world(
    out: Path,
    recipe: WorldRecipe,
    *,
    shard: str = "0/1",
    processes: int = 0,
    progress: Progress | None = None,
    say: Say = lambda line: None,
) -> Making:
    """Make what is missing of a world, and put it together once everything is there.

    Killed at any time, the same call goes on, and ends with the same files to the byte.

    Args:
        out: The data root; it appears whole or not at all. Its parts grow in ``OUT.parts``.
        recipe: What to make.
        shard: The share ``i/n`` of the films to make here.
        processes: How many at once; 0 is one a core.
        progress: Told of each part.
        say: Told in words of what the traffic did not give.

    Raises:
        WorldError: The recipe is impossible, the folder cannot be written or holds something
            else, or SUMO or EGL is missing.
    """
    folder = parts_folder(out)
    facts = recipe.facts()
    if is_made(out, facts):
        return Making(out, folder, *[Spent(0, 0.0)] * 3)
    shard_of((), shard)
    recipe.wish()
    _claim(folder, facts)
    crew = processes or os.cpu_count() or 1
    drives = traffic_jobs(recipe)
    if any(not part_path(folder, job.name).exists() for job in drives):
        load_libsumo()
        check_gl()  # films come last: better to miss it now than after the traffic
    traffic = do_stage("traffic", watch, drives, folder, processes=crew, progress=progress)
    planned = films(recipe, *offers_in(folder, drives))
    for line in planned.missing:
        say(f"the traffic of these towns gives {line}")
    mine = shard_of(planned.jobs, shard)
    if any(not part_path(folder, job.name).exists() for job in mine):
        check_gl()
    doubts = reason_jobs(drives, planned.jobs, mine)
    reasons = do_stage("reasons", find_out, doubts, folder, processes=crew, progress=progress)
    filming = do_stage("films", film, mine, folder, processes=crew, progress=progress)
    root = None
    if all(part_path(folder, job.name).exists() for job in planned.jobs):
        root = _put_together(out, recipe, planned.jobs, folder, planned.missing)
    return Making(root, folder, traffic, reasons, filming)


def _put_together(
    out: Path,
    recipe: WorldRecipe,
    jobs: tuple[FilmJob, ...],
    folder: Path,
    missing: tuple[str, ...],
) -> Path:
    made_once(out, recipe.facts(), lambda root: assemble(root, recipe, jobs, folder, missing))
    shutil.rmtree(folder, ignore_errors=True)
    return out


def _claim(folder: Path, facts: dict[str, object]) -> None:
    """Make the folder of the parts, for this recipe alone."""
    text = recipe_text(facts)
    recipe = folder / RECIPE_FILE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not recipe.exists():
            growing = folder / f".{RECIPE_FILE}.{os.getpid()}"
            growing.write_text(text, encoding="utf-8")
            os.replace(growing, recipe)
        found = recipe.read_text(encoding="utf-8")
    except OSError as error:
        raise WorldError(f"{folder}: cannot write a world there ({error})") from error
    if found != text:
        raise WorldError(
            f"{folder} holds parts of another world (see {RECIPE_FILE} in it): choose another "
            "out=... or remove it"
        )
