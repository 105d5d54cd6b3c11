"""A town on the graphics card, and what is placed in it for one step of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.render import cast, meshes
from drivevlm_sim.render.camera import Mask, View
from drivevlm_sim.render.cast import Actor
from drivevlm_sim.render.cover import Cover
from drivevlm_sim.render.gl import PLACED_ROW, Drawable, Kind, Pass, Placed, device
from drivevlm_sim.render.town_mesh import GRASS_M, town_chunks
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.town.town import Prop, Town

# N: placed things, sorted by mesh. C: chunks of the town.
COARSE_PX = 45.0
"""Trees that look smaller are drawn with fewer triangles."""


@dataclass(frozen=True, eq=False)  # no slots: it remembers what it worked out
class Setting:
    """Everything placed in one step, sorted by mesh.

    Attributes:
        actors: Road users; number k of them has the name k + 1 in the truth pass.
        heads: How many signal heads there are; their names follow the actors', in the town's order.
        mesh_names: Meshes, and for each where its rows begin; one more start at the end.
        kinds: (N,) number of each row's mesh, the same in all settings of a stage.
        rows: (N, 17) see ``gl.Placed``.
        radii_m: (N,) of balls that hold them.
    """

    actors: tuple[Actor, ...]
    heads: int
    mesh_names: tuple[str, ...]
    starts: NDArray[np.int64]
    kinds: NDArray[np.int64]
    rows: Placed
    radii_m: Floats

    @cached_property
    def centres_m(self) -> Floats:
        """(N, 3) origins in the town."""
        return self.rows[:, [3, 7, 11]].astype(np.float64)

    def seen(self, view: View, least_px: float, cover: Cover | None = None) -> Mask:
        """(N,) which rows a view may show, at least so large and not behind the cover."""
        seen = view.sees_spheres(self.centres_m, self.radii_m, least_px)
        if cover is not None:
            at_m, reach_m = self.centres_m[seen], self.radii_m[seen, None]
            seen[seen] = ~cover.hides(at_m - reach_m, at_m + reach_m)
        return seen


class Stage:
    """A town, ready to be drawn.

    Raises:
        WorldError: A package or EGL is missing, or a prop has no mesh.
    """

    def __init__(self, town: Town) -> None:
        self.town = town
        self.device = device()
        chunks = town_chunks(town)
        self._chunks = [self.device.drawable(chunk.vertices) for chunk in chunks]
        self._low_m = np.array([chunk.low_m for chunk in chunks])
        self._high_m = np.array([chunk.high_m for chunk in chunks])
        self._flat = np.array([chunk.flat for chunk in chunks])
        self._meshes: dict[str, Drawable] = {}
        props = sorted(town.props, key=lambda prop: (prop.kind, prop.variant, prop.xyz_m))
        self._props = _grouped([part for prop in props for part in _prop_rows(prop)])
        self._kinds: dict[str, int] = {}

    def setting(self, log: SceneLog, step: int) -> Setting:
        """Place the road users, the signal heads and the props of a step."""
        actors = cast.actors(self.town, log, step)
        placed: list[tuple[str, Placed]] = []
        for k, actor in enumerate(actors):
            tint = meshes.colour_of(actor.body, actor.colour)
            row = _row(actor.town_from_body, tint=tint, lit=actor.lit, name=k + 1)
            placed.append((meshes.body_name(actor.body, actor.pose), row))
        heads = list(cast.signals(self.town, log, step))
        for k, (head, lit) in enumerate(heads):
            pose = _pose(head.xyz_m, head.yaw_rad)
            row = _row(pose, lit=lit, name=len(actors) + k + 1)
            placed.append((meshes.HEAD, row))
        return self._sorted({**self._props, **_grouped(placed)}, actors, len(heads))

    def _sorted(
        self, groups: Mapping[str, Placed], actors: tuple[Actor, ...], heads: int
    ) -> Setting:
        """Props share no mesh with what moves, so that groups need not be joined."""
        names = sorted(groups)
        counts = [len(groups[name]) for name in names]
        none = np.zeros((0, PLACED_ROW), dtype=np.float32)
        rows = np.concatenate([none, *(groups[name] for name in names)])
        # The longest of a placed mesh's axes bounds how far it reaches.
        axes = rows[:, :12].reshape(-1, 3, 4)[:, :, :3]
        scale = np.linalg.norm(axes, axis=1).max(axis=1)
        radii_m = np.repeat([meshes.radius_m(name) for name in names], counts) * scale
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        numbers = [self._kinds.setdefault(name, len(self._kinds)) for name in names]
        kinds = np.repeat(np.array(numbers, dtype=np.int64), counts)
        return Setting(actors, heads, tuple(names), starts, kinds, rows, radii_m)

    def draw(
        self,
        kind: Kind,
        view: View,
        setting: Setting,
        *,
        flat: bool = True,
        least_px: float = 0.0,
        cover: Cover | None = None,
    ) -> None:
        """Draw what a view may show.

        Args:
            kind: Of the pass.
            view: Into the framebuffer in use.
            setting: What is placed.
            flat: Whether the ground is drawn too.
            least_px: What is smaller is left out.
            cover: What hides other things; they are left out.
        """
        chunks = self._chunks_of(view, cover)
        ctx = self.device.ctx
        ctx.enable(ctx.CULL_FACE)
        ctx.cull_face = "front" if view.turned else "back"
        # Walls first: what they hide then costs no pixel. The ground last: much of it is hidden.
        for k in chunks:
            if not self._flat[k]:
                self._chunks[k].draw(kind)
        seen = setting.seen(view, least_px, cover)
        near = view.sees_spheres(setting.centres_m, setting.radii_m, COARSE_PX)
        for k, name in enumerate(setting.mesh_names):
            start, stop = setting.starts[k : k + 2]
            rows, coarse = setting.rows[start:stop], meshes.coarse_name(name)
            fine = near[start:stop] if coarse else seen[start:stop]
            self._draw_placed(kind, name, rows[fine])
            if coarse:
                self._draw_placed(kind, coarse, rows[seen[start:stop] & ~fine])
        ctx.disable(ctx.CULL_FACE)
        for k in chunks:
            if flat and self._flat[k]:
                self._chunks[k].draw(kind)

    def sky_rows(self, view: View, height_px: int) -> int:
        """How many of the upper rows of a picture may show the sky: under them all is ground."""
        low_m, high_m = self._low_m[self._flat].min(axis=0), self._high_m[self._flat].max(axis=0)
        eye_m = view.eye_m
        away_m = min(*(eye_m - low_m)[:2], *(high_m - eye_m)[:2], view.reach_m - 2.0)
        if away_m <= 0 or eye_m[2] <= GRASS_M:
            return height_px
        town_from_clip = np.linalg.inv(view.clip_from_town)
        edges = 2 * np.arange(height_px + 1) / height_px - 1
        ends = np.array([[x, y, 1.0, 1.0] for y in edges for x in (-1, 1)]) @ town_from_clip.T
        ways = ends[:, :3] / ends[:, 3:] - eye_m
        ground = ways[:, 2] * away_m < (GRASS_M - eye_m[2]) * np.hypot(ways[:, 0], ways[:, 1])
        sky = np.nonzero(~ground.reshape(-1, 2).all(axis=1))[0]
        return min(height_px, int(sky.max()) + 1) if len(sky) else 0

    def _draw_placed(self, kind: Kind, name: str, rows: Placed) -> None:
        if name not in self._meshes:
            self._meshes[name] = self.device.drawable(meshes.mesh(name))
        if len(rows):
            self._meshes[name].draw(kind, rows)

    def _chunks_of(self, view: View, cover: Cover | None) -> Sequence[int]:
        """Chunks that a view may show, the nearest first, so that hidden pixels cost little."""
        seen: Mask = view.sees_boxes(self._low_m, self._high_m)
        if cover is not None:
            seen[seen] = ~cover.hides(self._low_m[seen], self._high_m[seen])
        near = np.clip(view.eye_m, self._low_m, self._high_m)
        away = np.linalg.norm(near - view.eye_m, axis=1)
        order = np.argsort(away, kind="stable")
        return [int(k) for k in order if seen[k]]


TRUTH = Kind(Pass.TRUTH)
SHADOW = Kind(Pass.SHADOW)


def _pose(xyz_m: tuple[float, float, float], yaw_rad: float) -> Pose3:
    cos, sin = np.cos(yaw_rad), np.sin(yaw_rad)
    turn = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
    return Pose3(turn, np.array(xyz_m, dtype=np.float64))


def _prop_rows(prop: Prop) -> list[tuple[str, Placed]]:
    """A prop's meshes: a pole may carry an arm as long as its reach."""
    pose = _pose(prop.xyz_m, prop.yaw_rad)
    parts = [(meshes.prop_name(prop), _row(pose, scale=(prop.scale, prop.scale, prop.scale)))]
    if prop.reach_m:
        parts.append((meshes.ARM, _row(pose, scale=(1.0, prop.reach_m, 1.0))))
    return parts


def _row(
    town_from_mesh: Pose3,
    *,
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0),
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0),
    lit: int = 0,
    name: int = 0,
) -> Placed:
    row = np.empty(PLACED_ROW, dtype=np.float32)
    row[:12].reshape(3, 4)[:, :3] = town_from_mesh.rotation * np.array(scale)
    row[:12].reshape(3, 4)[:, 3] = town_from_mesh.translation_m
    row[12:15] = tint
    row[15:17] = lit, name
    return row


def _grouped(placed: Sequence[tuple[str, Placed]]) -> dict[str, Placed]:
    """(N, 17) rows by mesh."""
    groups: dict[str, list[Placed]] = {}
    for name, row in placed:
        groups.setdefault(name, []).append(row)
    return {name: np.array(rows) for name, rows in groups.items()}
