"""The rows of the table: what is asked and what is taken away, as words for ``drivevlm eval``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from drivevlm.train.config import FORMS

FULL, VLM, BLIND = "full", "vlm", "blind_mlp"
MOTIONS = ("expert", "stop", "constant_velocity", "ctrv")
NETWORKS = (BLIND, "oracle_mlp")


@dataclass(frozen=True, slots=True)
class Row:
    """One way of asking, or the baselines.

    Attributes:
        name: As typed in ``rows=``.
        words: What it changes.
        based: Whether it is asked in the form that ``base=`` names; else its name is its form.
        same: Whether it must decide as its base does, so that equal replies are counted.
        note: What a reader should know; "" for nothing.
    """

    name: str
    words: tuple[str, ...] = ()
    based: bool = True
    same: bool = False
    note: str = ""


BASELINES = Row("baselines", based=False)
ROWS = (
    *(Row(form, based=False) for form in (FULL, "brief", "plan_only", "plan_first")),
    Row("covered", ("block.cameras=mean",), note="every picture is its camera's mean picture"),
    Row("exchanged", ("block.cameras=swap",), note="pictures of another scene, of another pair"),
    Row(
        "no_ego_status",
        ("block.ego_status=off",),
        note="neither speed nor past poses, as its dropout in training",
    ),
    Row("swapped_command", ("block.command=swap",), note="the command of a clip with another one"),
    Row(
        "no_history",
        ("prompt.images.frames=1",),
        note="no older picture; the ego's past poses stay, no switch takes them alone",
    ),
    Row("bfloat16", ("vlm.dtype=bfloat16",), same=True),
    Row("int8", ("vlm.quantisation=int8",), same=True),
    Row(
        "batch_1",
        ("vlm.batch_size=1", "run.scenes_in_flight=1"),
        same=True,
        note="its ms are those of one frame alone, the other rows' those of their batch",
    ),
    BASELINES,
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A row in a form.

    Attributes:
        row: The row.
        form: One of ``drivevlm.train.config.FORMS``; "" for the baselines.
    """

    row: Row
    form: str

    @property
    def name(self) -> str:
        """Of the row, and of the form where it is another one than the whole answer."""
        whole = not self.row.based or self.form == FULL
        return self.row.name if whole else f"{self.row.name}-{self.form}"

    @property
    def base(self) -> Asked | None:
        """What it is held against; None for a form itself and for the baselines."""
        forms = (row for row in ROWS if row.name == self.form)
        return Asked(next(forms), self.form) if self.row.based else None

    def words(self, model: str) -> tuple[str, ...]:
        """How a model of ours is asked; "" is the one that ships."""
        sections = ",".join(section.value for section in FORMS[self.form])
        return (
            "vlm=native",
            *([f"vlm.model={model}"] if model else []),
            *([] if self.form == FULL else [f"prompt.sections=[{sections}]"]),
            *self.row.words,
            f"planner=[{VLM}]",
        )


def every_row() -> Iterator[Asked]:
    """All that can be asked, in the order of the table."""
    for row in ROWS:
        if row is BASELINES:
            yield Asked(row, "")
        else:
            yield from (Asked(row, form) for form in (FORMS if row.based else (row.name,)))


def baseline_words(train: str) -> tuple[str, ...]:
    """Baselines, and the small networks where there is a root to learn from."""
    names = (*MOTIONS, *(NETWORKS if train else ()))
    root, *more = shlex.split(train) or [""]
    learning = (f"mlp.train_root={root}", *more) if root else ()
    return (f"planner=[{','.join(names)}]", *learning)
