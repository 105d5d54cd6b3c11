"""A planning protocol's rule in words: one line for a tool-tip, several for a reader."""

from __future__ import annotations

from drivevlm.metrics.rule import DISTANCE, Axes, Excused, Figure, PlanningRule, never_turns

_SHORT = ("l2", "ccr", "ade", "fde")


def one_line(rule: PlanningRule) -> str:
    """Which clips count, how L2 and collision are averaged, and who is drawn."""
    told = [f"counts {rule.counted.value}"]
    told += [
        f"{figure_words(figure.name)}: {figure.averaging.value}"
        for figure in rule.figures
        if figure.name in ("l2_m", "collision")
    ]
    told.append(f"road users: {rule.agents}")
    return "; ".join(told)


def explained(rule: PlanningRule) -> tuple[str, ...]:
    """All that a rule says, a line each, ``head: words``; last its quirks."""
    lines = [f"counts: {rule.counted.value}"]
    if rule.without_scenes:
        lines.append(f"leaves out: {len(rule.without_scenes)} scenes by name")
    lines.append(f"scores: {_scored(rule)}")
    if rule.touches:
        lines += [f"ego's box: {_heading(rule)}", f"grid: {rule.grid}"]
    lines.append(f"road users: {rule.agents}")
    lines += [f"{figure_head(f.name)}: {figure_rule(rule, f)}" for f in rule.figures]
    if any(not figure.averaging.single for figure in rule.figures):
        lines.append("avg: the mean of the values at 1, 2 and 3 s")
    if rule.split:
        lines.append("split: every figure is given by kind of clip too")
    lines.append(f"source: {rule.source}")
    return (*lines, *(f"note: {quirk}" for quirk in rule.quirks))


def figure_words(name: str) -> str:
    """A figure's name as a reader says it, without its unit: ``L2``, ``off drivable``."""
    words = name.removesuffix("_m").split("_")
    return " ".join([words[0].upper() if words[0] in _SHORT else words[0], *words[1:]])


def is_distance(name: str) -> bool:
    """Whether a figure is in metres; else it is a share of clips, or of their steps."""
    return name.endswith("_m")


def figure_head(name: str) -> str:
    """A figure's words with its unit: ``L2 (m)``, ``collision (%)``."""
    return f"{figure_words(name)} ({'m' if is_distance(name) else '%'})"


def figure_rule(rule: PlanningRule, figure: Figure) -> str:
    """What a figure measures, how steps become its values, and what is excused."""
    if figure.of == DISTANCE:
        return f"distance from the recorded point, {figure.averaging.value}"
    touch = next(touch for touch in rule.touches if touch.name == figure.of)
    met = _MEETS.get(touch.name, f"the ego's box touches {touch.name.replace('_', ' ')}")
    excused = _EXCUSED[touch.excused if figure.excused else Excused.NEVER]
    return f"{met}, {figure.averaging.value}; {excused}"


_EXCUSED = {
    Excused.RECORDED: "not held against a plan at a step where the recorded ego's box does so too",
    Excused.START: "not held against a plan that begins so",
    Excused.NEVER: "nothing is excused",
}
_MEETS = {
    "agents": "the ego's box touches a road user",
    "drivable_area": "some of the ego's box is off the drivable area",
    "off_drivable": "some of the ego's box is off the drivable area",
    "boundary": "the ego's box touches a road boundary",
}


def _scored(rule: PlanningRule) -> str:
    if rule.point == "rear_axle":
        what = "the rear axle's path"
    elif rule.point == (0.0, 0.0, 0.0):
        what = "the lidar's path"
    else:
        at = ", ".join(f"{value:g}" for value in rule.point)
        what = f"the path of the point ({at}) m in the lidar's frame"
    of = "lidar" if rule.axes is Axes.LIDAR else "ego"
    return f"{what}, in the axes of the {of} now ({rule.axes.value})"


def _heading(rule: PlanningRule) -> str:
    if rule.heading is never_turns:
        return "never turns"
    if rule.heading is None:
        return "turns with the plan's headings, or where it has none with its path"
    return "turns with headings that the protocol reads off the path"
