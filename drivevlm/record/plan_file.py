"""Plan files: the plans of any planner in one JSON file, read strictly, written as ours."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from drivevlm.metrics.body_point import BodyPoint
from drivevlm.metrics.planning import plan_at_steps
from drivevlm.metrics.rule import Axes
from drivevlm.record.plan_file_check import PlanFileError, json_of, listed, problems, quoted
from drivevlm.record.run_folder import write_atomically
from drivevlm.world.plan import Plan
from drivevlm.world.pose import Floats
from drivevlm.world.truth import STEP_S

__all__ = ["Matched", "PlanFile", "PlanFileError", "matched", "read_plan_file", "write_plan_file"]

SCHEMA = Path(__file__).with_name("plan_file.schema.json")

# T: FUTURE_STEPS, of STEP_S each.


@dataclass(frozen=True, slots=True, eq=False)
class PlanFile:
    """What a plan file says.

    Attributes:
        frame: The axes of its paths.
        point: The body point whose paths they are; None: each protocol's own.
        dt_s: Time between rows.
        xy_m: By sample token, (T, 2) displacement of the point from its place now, in the file's
            own axes; None where the plan failed.
    """

    frame: Axes
    point: BodyPoint | None
    dt_s: float
    xy_m: Mapping[str, Floats | None]


@dataclass(frozen=True, slots=True, eq=False)
class Matched:
    """A plan file laid on the clips of some data.

    Attributes:
        xy_m: The plans of the clips that the file knows, in the order of the data; None where the
            file says that the plan failed.
        unknown: Tokens of the file that the data do not have.
        missing: Tokens of the data that the file does not have.
    """

    xy_m: Mapping[str, Floats | None]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """A line on each kind of token without its partner, with counts and the first names."""
        unknown, missing = (
            listed([quoted(token) for token in tokens]) for tokens in (self.unknown, self.missing)
        )
        in_file, in_data = len(self.xy_m) + len(self.unknown), len(self.xy_m) + len(self.missing)
        lines = []
        if self.unknown:
            lines.append(
                f"{len(self.unknown)} of {in_file} plans are of no clip of these data: {unknown}"
            )
        if self.missing:
            lines.append(
                f"{len(self.missing)} of {in_data} clips have no plan in the file: {missing}"
            )
        return tuple(lines)


def read_plan_file(path: Path) -> PlanFile:
    """The plans of a file. Raises PlanFileError, one line that names all that is wrong."""
    value = json_of(path)
    wrong = problems(value)
    if wrong:
        raise PlanFileError(f"{path}: {'; '.join(wrong)}")
    file = cast("Mapping[str, Any]", value)
    return PlanFile(
        frame=Axes[file["frame"].upper()],
        point=file.get("point"),
        dt_s=file["dt_s"],
        xy_m={
            token: None if plan is None else np.array(plan, dtype=np.float64)
            for token, plan in file["plans"].items()
        },
    )


def matched(plan_file: PlanFile, tokens: Iterable[str]) -> Matched:
    """The plans of the clips with these tokens, and the tokens that found no partner.

    Raises PlanFileError where there is not one plan of any clip.
    """
    clips = dict.fromkeys(tokens)
    known = {token: plan_file.xy_m[token] for token in clips if token in plan_file.xy_m}
    unknown = tuple(token for token in plan_file.xy_m if token not in clips)
    if not known:
        theirs, ours = (listed([quoted(token) for token in names]) for names in (unknown, [*clips]))
        raise PlanFileError(
            f"none of the {len(unknown)} plans of the file ({theirs}) is of one of the "
            f"{len(clips)} clips of the data ({ours}): is it of another version or split?"
        )
    return Matched(known, unknown, tuple(token for token in clips if token not in known))


def write_plan_file(path: Path, plans: Mapping[str, Plan | None]) -> None:
    """Write plans of ours, in the ego's axes, of the rear axle; whole or not at all.

    A longer or finer plan is cut and thinned to 0.5 s, 1 s, ... 3 s. Headings do not travel: a
    reader takes the tangents of what is written. Raises PlanFileError where a plan cannot be
    written so.
    """
    rows = {}
    for token, plan in plans.items():
        try:
            rows[token] = None if plan is None else plan_at_steps(plan).xy_ego_m.tolist()
        except ValueError as error:
            raise PlanFileError(f"{path}: clip {quoted(token)}: {error}") from None
    head = {"frame": "ego", "point": "rear_axle", "dt_s": STEP_S}
    wrong = problems({**head, "plans": rows})
    if wrong:
        raise PlanFileError(f"{path} would be no plan file: {'; '.join(wrong)}")
    lines = ",\n".join(f"{json.dumps(token)}: {json.dumps(row)}" for token, row in rows.items())
    text = f'{json.dumps(head)[:-1]}, "plans": {{\n{lines}\n}}}}\n'
    try:
        write_atomically(path, text)
    except OSError as error:
        raise PlanFileError(f"the plan file {path} cannot be written ({error.strerror})") from None
