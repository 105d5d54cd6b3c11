"""A recipe becomes a town."""

from __future__ import annotations

import numpy as np
import shapely

from drivevlm.world.pose import Floats
from drivevlm_sim.town.buildings import buildings
from drivevlm_sim.town.furniture import along_streets, signs
from drivevlm_sim.town.geometry import area, net_geometry
from drivevlm_sim.town.net import net_xml
from drivevlm_sim.town.paint import paints
from drivevlm_sim.town.recipe import TownRecipe
from drivevlm_sim.town.signals import masts
from drivevlm_sim.town.street import Approach, approaches, stop_marks
from drivevlm_sim.town.town import Town


def make_town(recipe: TownRecipe) -> Town:
    """The town of a recipe; equal recipes make equal towns.

    Raises:
        WorldError: SUMO is missing or fails.
    """
    text = net_xml(recipe)
    net = net_geometry(text, left_hand=recipe.left_hand)
    streets = approaches(net)
    parking = tuple(area(row.centre_m, row.width_m) for row in net.parking)
    driven = shapely.union_all([net.road, *parking])
    marks = tuple(stop_marks(streets))
    signals = tuple(masts(streets, dict(net.junctions), driven))
    house_rng, prop_rng = (np.random.default_rng([recipe.seed, k]) for k in (2, 3))
    props = [mast.pole for mast in signals]
    props.extend(signs(streets, driven))
    props.extend(along_streets(net, streets, driven, prop_rng))
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
        stop_marks=marks,
        signal_heads=tuple(head for mast in signals for head in mast.heads),
        road=net.road,
        sidewalk=net.sidewalk,
        parking=parking,
        buildings=buildings(
            streets,
            paved=shapely.union_all([driven, net.sidewalk]),
            driven=driven,
            size_m=net.size_m,
            rng=house_rng,
        ),
        props=tuple(props),
        paint=paints(net, streets, marks),
        lane_dividers=tuple(_between_lanes(streets)),
        road_dividers=tuple(_between_ways(streets)),
    )


def _between_lanes(streets: tuple[Approach, ...]) -> list[Floats]:
    return [s.border_m(index) for s in streets for index in range(len(s.lanes) - 1)]


def _between_ways(streets: tuple[Approach, ...]) -> list[Floats]:
    """Once for both directions of a street."""
    return [s.border_m(len(s.lanes) - 1) for s in streets if s.edge < s.reverse]
