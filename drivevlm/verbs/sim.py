"""Worlds: make them, and look at a scene of one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from drivevlm.build.make_settings import MakeSettings
from drivevlm.build.settings import SettingError
from drivevlm.build.table import Chosen
from drivevlm.data.recording import Recording, SceneClips
from drivevlm.evaluate.plan_run import Progress
from drivevlm.report.film import FILMS, Rgb, film_frame, write_film
from drivevlm.report.view import ClipView
from drivevlm.verbs.progress import bars
from drivevlm.world.truth import STEP_S

if TYPE_CHECKING:
    from drivevlm_sim.make.make_world import Making

Groups = Mapping[str, str]


def make(values: Mapping[str, Any], console: Console) -> Path:
    """Make a world, or go on with it; returns the data root, or the folder of its parts so far."""
    # Traffic, cameras and maps take a while to import: only who makes a world waits for them.
    from drivevlm_sim.make.make_world import make_world

    settings = MakeSettings.of(values)

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, markup=False)

    try:
        with bars(console) as progress:
            made = make_world(
                settings.root,
                settings.world,
                shard=settings.run.shard,
                processes=settings.run.processes,
                progress=progress,
                say=say,
            )
    except KeyboardInterrupt:
        say(f"{settings.root} is not finished: the same command goes on")
        raise
    for line in _spent(made):
        say(line)
    if made.root is None:
        say(f"{made.parts} waits for films of other shards; whoever makes the last joins all")
    return made.root or made.parts


def show_scene(values: Mapping[str, Any], groups: Groups, console: Console, *, scene: str) -> Path:
    """Write a scene as a film; returns its path.

    Args:
        values: Of the settings; ``out`` is the film.
        groups: Chosen members.
        console: For progress.
        scene: Number, counted from 0, or name.
    """
    chosen = Chosen.of(values, groups)
    recording = chosen.recording(console.print)
    clips = _scene_of(recording.scenes(), scene)
    out = Path(chosen.settings.out or f"{clips.name}.mp4")
    if out.suffix not in FILMS:
        raise SettingError(f"out={out}: a film is one of {', '.join(FILMS)}")
    if out.suffix == ".mp4" and find_spec("imageio_ffmpeg") is None:
        raise SettingError('an mp4 needs imageio-ffmpeg: pip install "drivevlm[sim]", or out=x.gif')
    views = (_view(recording, token) for token in clips.tokens)
    with bars(console) as progress:
        frames = _counted(views, clips, recording.name, progress)
        out.parent.mkdir(parents=True, exist_ok=True)
        write_film(out, frames, rate_hz=1 / STEP_S)
    return out


def _scene_of(scenes: Sequence[SceneClips], scene: str) -> SceneClips:
    named = [clips for clips in scenes if clips.name == scene]
    if not named and scene.isdecimal() and int(scene) < len(scenes):
        named = [scenes[int(scene)]]
    if not named:
        names = [clips.name for clips in scenes]
        raise SettingError(
            f"scene={scene}: there are {len(names)} scenes, 0 to {len(names) - 1}, "
            f"named {', '.join(names[:3])}{' ...' if len(names) > 3 else ''}"
        )
    return named[0]


def _view(recording: Recording, token: str) -> ClipView:
    truth = recording.truth(token)
    return ClipView(recording.clip(token), None if truth is None else recording.with_map(truth), {})


def _counted(
    views: Iterator[ClipView], clips: SceneClips, name: str, progress: Progress
) -> Iterator[Rgb]:
    for done, view in enumerate(views, start=1):
        told = view.truth.description if view.truth is not None else ""
        yield film_frame(view, title=f"{name} · {clips.name} · {told}")
        progress("moments", done, len(clips.tokens))


def _spent(made: Making) -> list[str]:
    stages = (("traffic", made.traffic), ("films", made.filming))
    return [
        f"{name}: {spent.made} made, {spent.busy_s / spent.made:.1f} s each"
        for name, spent in stages
        if spent.made
    ]
