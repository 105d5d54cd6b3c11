"""True reasons by sample, from ``drivevlm_labels.jsonl`` beside the tables, where it is there.

One line a keyframe, of the form of ``drivevlm_labels.schema.json``::

    {"sample": token,
     "signal": {"state": "red", "distance_m": 31.5 | null, "visible": bool},
     "lead": {"instance": token, "gap_m": 12.5, "visible": bool} | null,
     "decision": {"longitudinal": "stop", "lateral": "keep_lane"},
     "critical": [{"instance": token | "signal": name, "moved_m": 3.2, "visible": bool}],
     "relations": [{"instance": token, "lane": "ego_lane", "gap_m": 12.5, "ttc_s": 2.1 | null,
                    "visible": bool}],
     "summary": "...",
     "route": {"command": "left", "distance_m": 40.0 | null} | null,
     "sentences": ["..."], "paraphrases": 3}

``critical`` holds whatever was tested, with how far the ego's track moves within 4 s without it;
what moves it by more than 0.5 m is critical. ``visible``: some camera showed it within the last
2 s. ``paraphrases`` is the set of paraphrases that the sentences are from. Words are those of the
closed sets (``world.sets``). Further keys are left to other readers.
"""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path

from drivevlm.data.nuscenes.json_lines import JsonLine, json_lines
from drivevlm.data.recording import DataError
from drivevlm.world.clip import RouteCommand
from drivevlm.world.scene_labels import (
    LeadLabel,
    RelationLabel,
    SceneLabels,
    SignalLabel,
    TestedCause,
)
from drivevlm.world.sets import (
    Command,
    LaneRelation,
    Lateral,
    Longitudinal,
    MetaDecision,
    Provenance,
    Signal,
)

LABELS_FILE = "drivevlm_labels.jsonl"
SCHEMA = Path(__file__).with_name("drivevlm_labels.schema.json")


def read_labels(path: Path, *, known: Container[str]) -> dict[str, SceneLabels]:
    """Labels by sample token; they may be sparse. Raises DataError in one line."""
    labels: dict[str, SceneLabels] = {}
    for line in json_lines(path):
        token = line.get("sample", str)
        if token not in known:
            raise line.error(
                f"sample {token!r} is not in the tables: the file and the tables must be of one "
                "making"
            )
        if token in labels:
            raise line.error(f"sample {token!r} has a line already")
        try:
            labels[token] = _labels(line)
        except ValueError as error:
            raise DataError(f"{line.where}: {error}") from error
    return labels


def _labels(line: JsonLine) -> SceneLabels:
    signal, lead = line.inside("signal"), line.inside_or_none("lead")
    decision, route = line.inside("decision"), line.inside_or_none("route")
    sentences = line.get("sentences", list)
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise line.error(f"sentences must be texts, got {sentences!r:.80}")
    return SceneLabels(
        signal=SignalLabel(
            signal.member("state", Signal),
            signal.metres_or_none("distance_m"),
            signal.get("visible", bool),
        ),
        lead=None
        if lead is None
        else LeadLabel(lead.get("instance", str), lead.metres("gap_m"), lead.get("visible", bool)),
        meta=MetaDecision(
            decision.member("longitudinal", Longitudinal), decision.member("lateral", Lateral)
        ),
        tested=tuple(_tested(one) for one in line.each("critical")),
        relations=tuple(
            RelationLabel(
                one.get("instance", str),
                one.member("lane", LaneRelation),
                one.metres("gap_m"),
                one.metres_or_none("ttc_s"),
                one.get("visible", bool),
            )
            for one in line.each("relations")
        ),
        summary=line.text("summary"),
        route=None
        if route is None
        else RouteCommand(
            route.member("command", Command),
            Provenance.ROUTE,
            distance_m=route.metres_or_none("distance_m"),
        ),
        sentences=tuple(sentences),
        paraphrases=line.get("paraphrases", int),
    )


def _tested(line: JsonLine) -> TestedCause:
    named = [key for key in ("instance", "signal") if key in line.fields]
    if len(named) != 1:
        raise line.error("a critical thing is either an instance or a signal")
    return TestedCause(
        line.get(named[0], str),
        named[0] == "signal",
        line.metres("moved_m"),
        line.get("visible", bool),
    )
