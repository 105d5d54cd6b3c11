"""Small towns of all kinds, each made once for all tests."""

from __future__ import annotations

from typing import Any
from xml import sax

import pytest

from drivevlm_sim.town.make_town import make_town
from drivevlm_sim.town.recipe import Kind, Rule, TownRecipe
from drivevlm_sim.town.town import Town

pytest.importorskip("sumo", reason="needs SUMO: pip install drivevlm[sim]")
sumolib_net = pytest.importorskip("sumolib.net", reason="needs sumolib")

SMALL = {"columns": 3, "rows": 2, "block_m": (95.0, 85.0)}
RECIPES = {
    "signals": TownRecipe(Kind.GRID, seed=1, rule=Rule.SIGNALS, **SMALL),
    "priority": TownRecipe(Kind.ARTERIAL, seed=2, rule=Rule.PRIORITY, columns=4, rows=3),
    "roundabout": TownRecipe(Kind.ROUNDABOUT, seed=3, rule=Rule.PRIORITY, lanes=1, **SMALL),
    "left_hand": TownRecipe(Kind.ROUNDABOUT, seed=4, left_hand=True, rule=Rule.MIXED, **SMALL),
    "random": TownRecipe(Kind.RANDOM, seed=5, rule=Rule.MIXED, parking=0.8, **SMALL),
}
_MADE: dict[str, Town] = {}


def made(name: str) -> Town:
    """Each town is made once."""
    if name not in _MADE:
        _MADE[name] = make_town(RECIPES[name])
    return _MADE[name]


def net_of(town: Town) -> Any:
    """SUMO's own reading of the town's net."""
    reader = sumolib_net.NetReader(withPrograms=True, withInternal=True)
    sax.parseString(town.net_xml.encode(), reader)
    return reader.getNet()
