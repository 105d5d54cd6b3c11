import re

import pytest

from drivevlm.metrics.explain import explained, figure_head, one_line
from drivevlm.metrics.protocols import PROTOCOLS


@pytest.mark.parametrize("name", PROTOCOLS)
def test_every_protocol_says_in_one_line_who_counts_and_how_l2_is_averaged(name):
    rule = PROTOCOLS[name].rule
    line = one_line(rule)
    assert "\n" not in line
    assert rule.counted.value in line
    assert rule.figures[0].averaging.value in line


@pytest.mark.parametrize("name", PROTOCOLS)
def test_nothing_that_a_rule_says_is_left_out_of_its_explanation(name):
    rule = PROTOCOLS[name].rule
    lines = explained(rule)
    whole = "\n".join(lines)
    for words in (rule.source, rule.counted.value, rule.axes.value, rule.agents, *rule.quirks):
        assert words in whole
    for figure in rule.figures:
        (line,) = [line for line in lines if line.startswith(f"{figure_head(figure.name)}: ")]
        assert figure.averaging.value in line
    assert all(re.match(r"[^:]+: \S", line) for line in lines)


def test_uniad_and_vad_read_differently_where_they_differ():
    uniad, vad = (explained(PROTOCOLS[name].rule) for name in ("uniad", "vad"))
    assert "L2 (m): distance from the recorded point, the step at k s" in uniad
    assert "L2 (m): distance from the recorded point, the mean of the steps up to k s" in vad


def test_a_figures_unit_is_metres_or_percent():
    heads = [figure_head(name) for name in ("l2_m", "ade_m", "ccr", "off_drivable", "collision_at")]
    assert heads == ["L2 (m)", "ADE (m)", "CCR (%)", "off drivable (%)", "collision at (%)"]
