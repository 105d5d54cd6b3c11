"""Vehicle types: a body with a driver, so that no two drive quite alike.

Krauss drivers without dawdling that decide every 0.8 s hold their speed until braking distance:
so there are frames in which a cause is in view and the ego has not reacted yet. Drivers that
follow the intelligent driver model react in the very step, and leave none.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from drivevlm_sim.bodies import CARS, SIZES
from drivevlm_sim.scene_log import Body

DRIVERS = 10
"""Different drivers of each body."""
ACTION_S = 0.8
"""How often a car's driver decides."""
STEADY_S = 0.1
"""How often other drivers decide; they are never the ego."""
VEHICLES = (Body.SEDAN, Body.SUV, Body.VAN, Body.TRUCK, Body.BUS, Body.MOTORCYCLE, Body.BICYCLE)
GHOST_TYPE = "ghost"
"""A short vehicle that makes drivers see what SUMO hides from them; no picture shows it."""
_WALKER = "pedestrian_0"
_SPEED_FACTOR = {
    Body.BICYCLE: "normc(0.95,0.10,0.7,1.2)",
    Body.PEDESTRIAN: "normc(1,0.15,0.7,1.4)",
}
_TOP_SPEED_MPS = {Body.BICYCLE: 5.5}


def body_of(type_name: str) -> Body:
    """The body of a vehicle type such as ``sedan_3``.

    SUMO gives a vehicle whose driver was changed a type of its own: ``van_2@blocker_3``.
    """
    return Body(type_name.split("@", 1)[0].rsplit("_", 1)[0])


def types_xml(rng: Random, bodies: Sequence[Body] = VEHICLES) -> list[str]:
    """Lines of a routes file: ``DRIVERS`` types a body, one of walkers, and a ghost."""
    lines = [_type_xml(body, number, rng) for body in bodies for number in range(DRIVERS)]
    size = SIZES[Body.PEDESTRIAN]
    lines.append(
        f'<vType id="{_WALKER}" vClass="{size.sumo_class}" width="{size.width_m}" '
        f'speedFactor="{_SPEED_FACTOR[Body.PEDESTRIAN]}"/>'
    )
    lines.append(
        f'<vType id="{GHOST_TYPE}" vClass="passenger" length="0.6" width="0.6" minGap="0.5" '
        'accel="1" decel="3" insertionChecks="none"/>'
    )
    return lines


def _type_xml(body: Body, number: int, rng: Random) -> str:
    size = SIZES[body]
    traits = {
        "id": f"{body.value}_{number}",
        "vClass": size.sumo_class,
        "length": f"{size.length_m}",
        "width": f"{size.width_m}",
        "height": f"{size.height_m}",
        "carFollowModel": "Krauss",
        "sigma": "0",
        "actionStepLength": f"{ACTION_S if body in CARS else STEADY_S}",
        "tau": f"{rng.uniform(1.0, 1.7):.2f}",
        "decel": f"{rng.uniform(2.0, 3.4):.2f}",
        "emergencyDecel": "8",
        "accel": f"{rng.uniform(1.4, 2.4):.2f}",
        "minGap": f"{rng.uniform(1.8, 2.8):.2f}",
        "speedFactor": _SPEED_FACTOR.get(body, "normc(0.95,0.08,0.75,1.2)"),
        "lcAssertive": f"{rng.uniform(0.8, 1.3):.2f}",
        "jmIgnoreKeepClearTime": "3",
    }
    if body in _TOP_SPEED_MPS:
        traits["maxSpeed"] = f"{_TOP_SPEED_MPS[body]}"
    return "<vType " + " ".join(f'{name}="{value}"' for name, value in traits.items()) + "/>"
