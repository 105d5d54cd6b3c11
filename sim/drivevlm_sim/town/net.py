"""SUMO's net of a town: from a recipe to the text of a ``.net.xml``."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from numpy.random import Generator

from drivevlm_sim.made_once import WorldError
from drivevlm_sim.town.plan import (
    PLAIN,
    Plan,
    Spot,
    Street,
    by_strokes,
    street_plan,
    with_rules,
)
from drivevlm_sim.town.recipe import Kind, TownRecipe

MISSING = 'SUMO is missing: pip install "drivevlm[sim]" (eclipse-sumo, libsumo, sumolib)'
LANE_M = 3.4
SIDEWALK_M = 2.8
PARKING_M = 2.3
CROSSING_M = 3.6
TOOL_LIMIT_S = 120


def sumo_home() -> Path:
    """The folder of SUMO's programs, as its wheel lays it out.

    Raises:
        WorldError: SUMO is not installed.
    """
    spec = importlib.util.find_spec("sumo")
    if spec is None or not spec.submodule_search_locations:
        raise WorldError(MISSING)
    home = Path(spec.submodule_search_locations[0])
    if not (home / "bin").is_dir():
        raise WorldError(MISSING)
    return home


def net_xml(recipe: TownRecipe) -> str:
    """The net as text, without the comment that carries a date; equal for equal recipes.

    Raises:
        WorldError: SUMO is missing or fails.
    """
    rng = np.random.default_rng([recipe.seed, 1])
    with tempfile.TemporaryDirectory(prefix="drivevlm-town-") as scratch:
        folder = Path(scratch)
        if recipe.kind is Kind.RANDOM:
            plan = by_strokes(_random_plan(recipe, folder), recipe, rng)
            plan = with_rules(plan, recipe, rng)
        else:
            plan = street_plan(recipe, rng)
        _write_plain(folder, plan, recipe, rng)
        _netconvert(folder, plan, recipe, rng)
        text = (folder / "town.net.xml").read_text(encoding="utf-8")
    return re.sub(r"<!--.*?-->\s*", "", text, flags=re.DOTALL)


def _netconvert(folder: Path, plan: Plan, recipe: TownRecipe, rng: Generator) -> None:
    options = {
        "node-files": "town.nod.xml",
        "edge-files": "town.edg.xml",
        "connection-files": "town.con.xml",
        "output-file": "town.net.xml",
        "default.lanewidth": str(LANE_M),
        "walkingareas": "true",
        "no-turnarounds": "true",
        "junctions.corner-detail": "8",
        "junctions.internal-link-detail": "12",
        "junctions.limit-turn-speed": "2.2",
        "junctions.small-radius": "3",
        "tls.cycle.time": str(int(rng.integers(44, 64))),
        "tls.yellow.time": "3",
        "tls.allred.time": "1",
        "tls.default-type": "static",
        "lefthand": str(recipe.left_hand).lower(),
        "precision": "3",
        "xml-validation": "never",
        "offset.disable-normalization": "false",
    }
    _tool("netconvert", folder, options)


def _random_plan(recipe: TownRecipe, folder: Path) -> Plan:
    """Points and streets from ``netgenerate --rand``, with a lane each way."""
    block_m = sum(recipe.block_m) / 2
    options = {
        "rand": "true",
        "rand.iterations": str(2 * recipe.columns * recipe.rows),
        "rand.min-distance": f"{block_m - 10:.1f}",
        "rand.max-distance": f"{block_m + 40:.1f}",
        "rand.min-angle": "60",
        "rand.connectivity": "0.95",
        "seed": str(recipe.seed),
        "plain-output-prefix": "random",
        "output-file": "random.net.xml",
    }
    _tool("netgenerate", folder, options)
    nodes = ElementTree.parse(folder / "random.nod.xml").getroot().iter("node")
    spots = {
        f"N{node.attrib['id']}": Spot((float(node.attrib["x"]), float(node.attrib["y"])))
        for node in nodes
    }
    pairs: dict[tuple[str, str], None] = {}
    for edge in ElementTree.parse(folder / "random.edg.xml").getroot().iter("edge"):
        a, b = sorted((f"N{edge.attrib['from']}", f"N{edge.attrib['to']}"))
        pairs[a, b] = None
    streets = (Street(a, b, 1, recipe.speed_mps, 1) for a, b in sorted(pairs))
    return Plan(spots, tuple(streets))


def _tool(name: str, folder: Path, options: dict[str, str]) -> None:
    home = sumo_home()
    command = [str(home / "bin" / name)]
    for key, value in options.items():
        command += [f"--{key}", value]
    environment = {**os.environ, "SUMO_HOME": str(home)}
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_LIMIT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise WorldError(f"{name} does not run ({error}): {MISSING}") from error
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.startswith("Error")]
        raise WorldError(f"{name} failed: {' '.join(said) or done.stderr.strip()[-300:]}")


def _write_plain(folder: Path, plan: Plan, recipe: TownRecipe, rng: Generator) -> None:
    """SUMO's plain XML: nodes, edges with their lanes, and crossings."""
    nodes, edges, links = (ElementTree.Element(tag) for tag in ("nodes", "edges", "connections"))
    for name, spot in plan.spots.items():
        x, y = spot.xy_m
        ElementTree.SubElement(
            nodes,
            "node",
            {
                "id": name,
                "x": f"{x:.2f}",
                "y": f"{y:.2f}",
                "type": spot.rule,
                "radius": f"{spot.radius_m:g}",
            },
        )
    arms: dict[str, list[tuple[str, ...]]] = {name: [] for name in plan.spots}
    for street in plan.streets:
        names = _edges_of(edges, street)
        if not street.one_way:
            arms[street.a].append(names)
            arms[street.b].append(names)
    for ring in plan.rings:
        _add_ring(edges, ring)
    on_ring = {name for ring in plan.rings for name in ring}
    for name, both_ways in arms.items():
        if len(both_ways) < 3 and name not in on_ring:
            continue
        for names in both_ways:
            if plan.spots[name].rule != PLAIN or rng.random() < recipe.crossings:
                _add_crossing(links, name, names)
    for stem, root in (("nod", nodes), ("edg", edges), ("con", links)):
        ElementTree.ElementTree(root).write(folder / f"town.{stem}.xml", encoding="utf-8")


def _edges_of(edges: ElementTree.Element, street: Street) -> tuple[str, ...]:
    ways = [(street.a, street.b, street.shape_m)]
    if not street.one_way:
        ways.append((street.b, street.a, street.shape_m[::-1]))
    for a, b, shape_m in ways:
        attributes = {
            "id": f"{a}{b}",
            "from": a,
            "to": b,
            "speed": f"{street.speed_mps:g}",
            "priority": str(street.priority),
            "numLanes": str(1 + street.parking + street.lanes),
        }
        if shape_m:
            attributes["shape"] = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape_m)
        edge = ElementTree.SubElement(edges, "edge", attributes)
        kerb = [{"allow": "pedestrian", "width": str(SIDEWALK_M)}]
        if street.parking:
            kerb.append({"disallow": "all", "width": str(PARKING_M)})
        lanes = kerb + [{"disallow": "pedestrian", "width": str(LANE_M)}] * street.lanes
        for index, lane in enumerate(lanes):
            ElementTree.SubElement(edge, "lane", {"index": str(index), **lane})
    return tuple(f"{a}{b}" for a, b, _ in ways)


def _add_ring(edges: ElementTree.Element, ring: tuple[str, ...]) -> None:
    names = [f"{a}{b}" for a, b in zip(ring, (*ring[1:], ring[0]), strict=True)]
    ElementTree.SubElement(edges, "roundabout", {"nodes": " ".join(ring), "edges": " ".join(names)})


def _add_crossing(links: ElementTree.Element, node: str, edges: tuple[str, ...]) -> None:
    ElementTree.SubElement(
        links,
        "crossing",
        {"node": node, "edges": " ".join(edges), "priority": "true", "width": str(CROSSING_M)},
    )
