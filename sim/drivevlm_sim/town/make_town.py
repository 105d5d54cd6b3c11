"""A recipe becomes a town."""

from __future__ import annotations

from drivevlm_sim.town.geometry import area, net_geometry
from drivevlm_sim.town.net import net_xml
from drivevlm_sim.town.recipe import TownRecipe
from drivevlm_sim.town.town import Town


def make_town(recipe: TownRecipe) -> Town:
    """The town of a recipe; equal recipes make equal towns.

    Raises:
        WorldError: SUMO is missing or fails.
    """
    text = net_xml(recipe)
    net = net_geometry(text, left_hand=recipe.left_hand)
    return Town(
        name=recipe.name,
        left_hand=recipe.left_hand,
        size_m=net.size_m,
        net_xml=text,
        offset_m=net.offset_m,
        lanes=net.lanes,
        connectors=net.connectors,
        junctions=net.junctions,
        crossings=net.crossings,
        stop_marks=(),
        signal_heads=(),
        road=net.road,
        sidewalk=net.sidewalk,
        parking=tuple(area(row.centre_m, row.width_m) for row in net.parking),
        buildings=(),
        props=(),
        paint=(),
        lane_dividers=(),
        road_dividers=(),
    )
