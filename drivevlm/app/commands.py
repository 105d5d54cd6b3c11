"""What each verb takes from the command line, and the lines that show how."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from drivevlm import verbs
from drivevlm.app.model_commands import MODEL_VERBS
from drivevlm.app.node_command import NODE_VERBS
from drivevlm.app.replay_command import REPLAY_VERBS
from drivevlm.app.settings import SIM_MAKE, changed, composed, recorded, with_defaults
from drivevlm.app.train_command import TRAIN_VERBS
from drivevlm.app.verb import Verb
from drivevlm.build.make_settings import MakeRunSettings
from drivevlm.build.settings import SettingError


def _eval(words: list[str]) -> int:
    values, groups = composed(words)
    print(verbs.evaluate(values, groups, Console()))
    return 0


def _score(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise SettingError("expected a plan file: drivevlm score plans.json data=...")
    path, overrides = Path(words[0]), words[1:]
    values, groups = composed(with_defaults(SCORE_DEFAULTS, overrides))
    print(verbs.score(path, values, groups, Console()))
    return 0


def _stats(words: list[str]) -> int:
    values, groups = composed(with_defaults(STATS_DEFAULTS, words))
    print(verbs.stats(values, groups, Console()))
    return 0


def _twins(words: list[str]) -> int:
    values, groups = composed(words)
    print(verbs.twins(values, groups, Console()))
    return 0


def _protocols(words: list[str]) -> int:
    verbs.protocols(words, Console())
    return 0


def _prompt_show(words: list[str]) -> int:
    clip, words = _taken("clip", words)
    images, words = _taken("images", words)
    run, words = _taken("run", words)
    if clip is not None and not clip.isdecimal():
        raise SettingError(f"clip takes a number, counted from 0, got {clip!r}")
    values, groups = composed(words)
    verbs.show_prompt(
        values,
        groups,
        Console(),
        clip=int(clip or 0),
        images=None if images is None else Path(images),
        run=None if run is None else Path(run),
    )
    return 0


def _report(words: list[str]) -> int:
    if not words or "=" in words[0]:
        raise SettingError("expected a run folder: drivevlm report runs/...")
    run, overrides = Path(words[0]), words[1:]
    values, groups = recorded(run, overrides)
    print(verbs.report(run, values, groups, Console()))
    return 0


def _compare(words: list[str]) -> int:
    if len(words) < 2 or any("=" in word for word in words[:2]):
        raise SettingError("expected two run folders: drivevlm compare runs/a runs/b")
    settings = changed(verbs.CompareSettings(), words[2:], "setting of compare")
    a, b = ((Path(word), recorded(Path(word), [])) for word in words[:2])
    print(verbs.compare(a, b, settings, Console()))
    return 0


def _table(words: list[str]) -> int:
    published, words = _taken("published", words)
    out, words = _taken("out", words)
    if not words or any("=" in word for word in words):
        raise SettingError(
            "expected run folders, published=PROTOCOL and out=FOLDER: drivevlm table runs/a runs/b"
            f", got {' '.join(words) or 'nothing'}"
        )
    folder = None if out is None else Path(out)
    runs = [Path(word) for word in words]
    print(verbs.table(runs, Console(), published=published or "", out=folder))
    return 0


def _sim_make(words: list[str]) -> int:
    values, _ = composed(words, SIM_MAKE)
    print(verbs.make(values, Console()))
    return 0


def _sim_show(words: list[str]) -> int:
    scene, words = _taken("scene", words)
    values, groups = composed(with_defaults(SYNTH_DEFAULTS, words))
    print(verbs.show_scene(values, groups, Console(), scene=scene or "0"))
    return 0


def _sim_stats(words: list[str]) -> int:
    return _stats(with_defaults(SYNTH_DEFAULTS, words))


def _sim_twins(words: list[str]) -> int:
    return _twins(with_defaults(TWINS_DEFAULTS, words))


def _sim_check(words: list[str]) -> int:
    root, words = _taken("data.root", words)
    out, words = _taken("out", words)
    beside, words = _taken("beside", words)
    apart, words = _taken("apart", words)
    if words:
        raise SettingError(f"expected data.root=, out=, beside= or apart=, got {words[0]}")
    if not root:
        raise SettingError("data.root is not set: drivevlm sim check data.root=FOLDER")
    folder = Path(out or f"stats/{Path(root).resolve().name}")
    told, holds = verbs.check(
        Path(root),
        Console(),
        out=folder,
        beside=None if beside is None else Path(beside),
        apart=[Path(other) for other in (apart or "").strip("[]").split(",") if other],
    )
    print(told)
    return 0 if holds else 1


def _merge(words: list[str]) -> int:
    out, parts = _taken("out", words)
    if out is None or not parts:
        raise SettingError(
            "expected out=FOLDER and the parts: drivevlm merge out=runs/all runs/a ..."
        )
    print(verbs.merge([Path(part) for part in parts], Path(out)))
    return 0


def _pack(words: list[str]) -> int:
    size, words = _taken("shard_mb", words)
    if size is not None and not (size.isdecimal() and int(size) > 0):
        raise SettingError(f"shard_mb takes a whole number of megabytes, got {size!r}")
    values, groups = composed(words)
    shard_mb = int(size or verbs.SHARD_MB)
    print(verbs.pack_data(values, groups, Console(), shard_mb=shard_mb))
    return 0


def _taken(key: str, words: list[str]) -> tuple[str | None, list[str]]:
    """The value of ``key=`` among the words, and the other words."""
    found = [word.partition("=")[2] for word in words if word.startswith(f"{key}=")]
    rest = [word for word in words if not word.startswith(f"{key}=")]
    return (found[-1] if found else None), rest


SCORE_DEFAULTS = (
    "protocol=all",
    "planner=[expert,stop,constant_velocity,ctrv,ego_mlp]",
)
"""What ``score`` does unless told otherwise: every protocol, and the rows that belong beside."""

STATS_DEFAULTS = (
    "protocol=[exact]",
    "planner=[constant_velocity,ctrv,ctra,ego_mlp,blind_mlp,oracle_mlp,"
    "blind_mlp_speed,oracle_mlp_speed]",
)

SYNTH_DEFAULTS = ("data=nuscenes", "data.version=v1.0-synth")
TWINS_DEFAULTS = ("data=nuscenes", "data.version=v1.0-twins")
"""What the verbs of worlds read unless told otherwise."""

VERBS = {
    "eval": Verb(
        "plan a recording in open loop, score it, write a table and a page",
        (
            "drivevlm eval",
            "drivevlm eval planner=[constant_velocity,stop,expert] page.clips=5",
            "drivevlm eval prompt.sections=[PLAN] block.cameras=blank data.scenes=[scene-2001]",
            "drivevlm eval data=nuscenes data.root=/data/nuscenes data.version=v1.0-mini"
            " vlm=hf vlm.model=/models/some-vlm",
        ),
        _eval,
    ),
    "score": Verb(
        "score a plan file under every protocol, beside the baselines",
        (
            "drivevlm score plans.json data=nuscenes data.root=/data/nuscenes"
            " data.version=v1.0-trainval data.split=val out=scores/mine",
            "drivevlm score plans.json protocol=[exact,uniad,vad] planner=[expert,stop]",
        ),
        _score,
        defaults=SCORE_DEFAULTS,
    ),
    "stats": Verb(
        "what a recording holds: distributions, baselines by kind of clip, a contact sheet",
        (
            "drivevlm stats",
            "drivevlm stats data=nuscenes data.root=/data/nuscenes data.version=v1.0-mini",
        ),
        _stats,
        defaults=STATS_DEFAULTS,
    ),
    "twins": Verb(
        "a look at twin pairs: both sides at decision time, the cause marked, both futures",
        ("drivevlm twins data=nuscenes data.root=/data/worlds data.version=v1.0-twins",),
        _twins,
    ),
    "protocols": Verb(
        "what each protocol counts and how; one of them with its quirks",
        ("drivevlm protocols", "drivevlm protocols vad"),
        _protocols,
        settings=False,
    ),
    "prompt show": Verb(
        "print the exact messages of one clip (clip=N), with a run's memory (run=DIR)",
        (
            "drivevlm prompt show clip=3",
            "drivevlm prompt show clip=3 prompt=few_shot block.prior=off images=runs/pictures",
            "drivevlm prompt show clip=3 run=runs/baselines",
        ),
        _prompt_show,
        own=(
            "clip=N: which one, counted from 0 over the chosen scenes",
            "images=FOLDER: where its pictures are written",
            "run=FOLDER: of a run, whose planner's memory is shown",
        ),
    ),
    "report": Verb(
        "make table and page again from a run folder, without its model",
        ("drivevlm report runs/baselines", "drivevlm report runs/baselines page.clips=10"),
        _report,
        settings=False,
        own=("planner, protocol, fallback and page.clips: see drivevlm eval --help",),
    ),
    "compare": Verb(
        "what became of one run in another: paired statistics, and the clips that changed",
        (
            "drivevlm compare runs/a runs/b",
            "drivevlm compare runs/a runs/b planner=vlm protocol=vad page.clips=50",
            "drivevlm compare runs/a runs/a planner=vlm,constant_velocity out=runs/beside",
        ),
        _compare,
        settings=False,
        own=verbs.CompareSettings,
    ),
    "table": Verb(
        "one table over several runs, with published figures where they compare",
        (
            "drivevlm table runs/baselines",
            "drivevlm table runs/a runs/b scores/mine published=vad out=tables",
        ),
        _table,
        settings=False,
        own=(
            "published=PROTOCOL: its published figures stand beside the runs'",
            "out=FOLDER: of table.json and table.md; beside the first run where left out",
        ),
    ),
    "merge": Verb(
        "join the parts of a run that was made with run.shard=i/n",
        ("drivevlm merge out=runs/whole runs/part0 runs/part1",),
        _merge,
        settings=False,
        own=("out=FOLDER: of the whole run",),
    ),
    "pack": Verb(
        "write data as parquet shards (of about shard_mb=256) for training",
        (
            "drivevlm pack out=packed/demo",
            "drivevlm eval data=packed data.path=packed/demo planner=[constant_velocity,expert]",
            "drivevlm pack data=nuscenes data.root=/data/nuscenes data.version=v1.0-trainval"
            " data.split=train data.frames=2 out=/data/packed",
        ),
        _pack,
    ),
    **TRAIN_VERBS,
    **MODEL_VERBS,
    **NODE_VERBS,
    **REPLAY_VERBS,
    "sim make": Verb(
        "make a world: towns, traffic, six cameras, twin pairs, in the nuScenes format",
        (
            "drivevlm sim make out=worlds/tiny world.scenes=2 world.pairs=2 world.towns=1",
            "drivevlm sim make world=small out=/data/worlds",
            "drivevlm sim make world=small world.scenes=2 world.pairs=8 world.seed=17"
            " out=/data/w17",
            "drivevlm sim make world=train out=/data/train run.shard=0/4",
        ),
        _sim_make,
        own=MakeRunSettings,
        root=SIM_MAKE,
    ),
    "sim check": Verb(
        "hold a made world against the rules of twins, geometry and labels, from disk alone",
        (
            "drivevlm sim check data.root=worlds/tiny",
            "drivevlm sim check data.root=/data/val apart=[/data/train,/data/test]"
            " beside=/data/nuscenes/v1.0-mini out=checks/val",
        ),
        _sim_check,
        settings=False,
        own=(
            "data.root=FOLDER: the data root; all of its versions are checked",
            "beside=FOLDER: tables of another recording, whose motion is told beside",
            "apart=[FOLDER,...]: data roots of other splits, which must share no town with it",
            "out=FOLDER: of check.json; stats/ROOT where left out",
            "The exit code is 1 where a rule is broken.",
        ),
    ),
    "sim stats": Verb(
        "stats of a made world's scenes",
        ("drivevlm sim stats data.root=/data/val mlp.train_root=/data/train",),
        _sim_stats,
        defaults=(*SYNTH_DEFAULTS, *STATS_DEFAULTS),
    ),
    "sim twins": Verb(
        "a look at a made world's twin pairs",
        ("drivevlm sim twins data.root=/data/val out=/data/twins",),
        _sim_twins,
        defaults=TWINS_DEFAULTS,
    ),
    "sim show": Verb(
        "a scene as a film: its cameras, the road from above, the reasons in words",
        (
            "drivevlm sim show data.root=worlds/tiny scene=1 out=scene.mp4",
            "drivevlm sim show data.root=worlds/tiny scene=scene-2001 out=scene.gif",
            "drivevlm sim show data.root=worlds/tiny data.version=v1.0-twins out=pair.gif",
        ),
        _sim_show,
        settings=False,
        own=(
            "data.root=FOLDER: the data root, and data.version, data.cameras, ... as in eval",
            "scene=N: which one, counted from 0, or its name",
            "out=FILE: an .mp4 or a .gif; scene-NAME.mp4 here where left out",
        ),
    ),
}
