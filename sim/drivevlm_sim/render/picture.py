"""Pictures of all cameras for a step of a scene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from drivevlm.world.camera import Camera
from drivevlm.world.pose import Floats, Pose3
from drivevlm_sim.bodies import SIZES
from drivevlm_sim.keyframes import Rig
from drivevlm_sim.render import cast, night_light, truth_pass
from drivevlm_sim.render.alike import Alike, Shot
from drivevlm_sim.render.camera import View, sun_view, view_of
from drivevlm_sim.render.cover import Cover
from drivevlm_sim.render.gl import GLOW_PX, SAMPLES, SHADOW_PX, Kind, Pass
from drivevlm_sim.render.lens import Rgb8, through_lens
from drivevlm_sim.render.lidar import Sweep
from drivevlm_sim.render.stage import SHADOW, Setting, Stage
from drivevlm_sim.render.truth_pass import Sight
from drivevlm_sim.render.weather import LOOKS, Look
from drivevlm_sim.scene_log import SceneLog
from drivevlm_sim.town.town import Town

SHADOW_HALF_M = 64.0
REACH_M = 300.0
LEAST_PX = 0.7
"""What is smaller is left out of a picture."""
MIRROR_REACH_M, MIRROR_LEAST_PX = 110.0, 9.0
"""The same for what a wet road reflects; pixels are those of the picture itself."""
BEAM_HEIGHT_M = 0.68


class Renderer:
    """Draws a town; the vehicle that carries the cameras is not drawn.

    Keep one for a town: meshes and programs stay on the card. Processes that draw are spawned,
    never forked from one that drew (see ``check_gl``).

    Raises:
        WorldError: moderngl or EGL is missing (the message says what to install), or the town
            holds a prop without a mesh.
    """

    def __init__(self, town: Town) -> None:
        self.stage = Stage(town)
        self._lamps_m = night_light.lamp_feet_m(town)
        self._last: list[tuple[SceneLog, int, Setting]] = []

    def images(
        self,
        log: SceneLog,
        step: int,
        rig: Rig,
        *,
        cameras: Sequence[str] | None = None,
        town_from_ego: Pose3 | None = None,
        sight: Sight | None = None,
    ) -> dict[str, Rgb8]:
        """Pictures (H, W, 3) RGB by camera.

        Args:
            log: Of the town that this renderer draws.
            step: Of the log.
            rig: Sensors of the ego.
            cameras: Names of those wanted; all where left out.
            town_from_ego: Where the ego is, if not where the log has it.
            sight: Of this step, if at hand: what it shows to be hidden is not drawn, which changes
                no more than a few pixels at gaps thinner than a pixel.
        """
        ego = town_from_ego or cast.town_from_ego(log, step)
        look = LOOKS[log.weather]
        setting = self._setting(log, step)
        lights = self._lights(look, log, ego, setting)
        return {
            camera.name: through_lens(
                self._picture(camera, look, lights, setting, ego, sight),
                look,
                log.seed,
                step,
                camera.name,
            )
            for camera in rig.cameras
            if cameras is None or camera.name in cameras
        }

    def sight(
        self,
        log: SceneLog,
        step: int,
        rig: Rig,
        *,
        sweep: Sweep | None = None,
        town_from_ego: Pose3 | None = None,
        like: Sight | None = None,
    ) -> Sight:
        """What is truly seen in a step: masks, depths, visibilities, and the lidar's points.

        Args:
            log: Of the town that this renderer draws.
            step: Of the log.
            rig: Sensors of the ego.
            sweep: How the lidar samples; None leaves it out.
            town_from_ego: Where the ego is, if not where the log has it.
            like: A sight of a scene that may look the same; it saves time and changes nothing.
        """
        ego = town_from_ego or cast.town_from_ego(log, step)
        return truth_pass.sight(self.stage, self._setting(log, step), rig, ego, sweep, like)

    def same_pictures(
        self, log: SceneLog, step: int, rig: Rig, *, sight: Sight, like: tuple[SceneLog, Sight]
    ) -> frozenset[str]:
        """Cameras whose pictures are those of another scene at that step, to the byte.

        Args:
            log: The scene.
            step: Of both logs.
            rig: Sensors of the ego.
            sight: Of this scene's step; pictures are compared as ``images`` draws them with it.
            like: The other scene, and its sight.
        """
        other, its_sight = like
        one = Shot(log, step, sight.town_from_ego, sight.setting)
        two = Shot(other, step, its_sight.town_from_ego, its_sight.setting)
        look = LOOKS[log.weather]
        lit_m = _shadow_middle_m(one.ego), SHADOW_HALF_M
        alike = Alike(one, two, look, self._lamps_m, lit_m)
        if not alike.comparable:
            return frozenset()
        same = set()
        for camera in rig.cameras:
            view = view_of(camera, one.ego, REACH_M)
            covers = (Cover(view, s.depths_m[camera.name]) for s in (sight, its_sight))
            if (
                alike.shows_same(view, LEAST_PX, (next(covers), next(covers)))
                and alike.lit_same(view, shadow=_has_shadow(look))
                and (not look.wet or alike.shows_same(_mirror_of(view), MIRROR_LEAST_PX))
                and (not look.wet or alike.lit_same(_mirror_of(view), shadow=False))
            ):
                same.add(camera.name)
        return frozenset(same)

    def _setting(self, log: SceneLog, step: int) -> Setting:
        """The setting of a step; the last two are kept."""
        for known, its_step, setting in self._last:
            if known is log and its_step == step:
                return setting
        self._last = [*self._last[-1:], (log, step, self.stage.setting(log, step))]
        return self._last[-1][2]

    def _lights(
        self, look: Look, log: SceneLog, ego: Pose3, setting: Setting
    ) -> Mapping[str, object]:
        """Draw the shadow and glow maps; the values of all programs that use them."""
        device = self.stage.device
        sun_way = look.sun_way(log.sun)
        off, on = look.shine()
        size = SIZES[log.ego.body]
        bumper = np.array([size.rear_axle_from_front_m, 0.0, BEAM_HEIGHT_M])
        values: dict[str, object] = {
            "sun_way": sun_way,
            "sun_rgb": look.sun_rgb,
            "ambient_rgb": look.ambient_rgb,
            "fog_rgb": look.fog_rgb,
            "zenith_rgb": look.zenith_rgb,
            "fog_per_m": look.fog_per_m,
            "cloud_rgb": look.cloud_rgb,
            "cloudy": look.cloudy,
            "disc_rgb": look.disc_rgb,
            "shine_off": off,
            "shine_on": on,
            "beam": look.beams,
            "beam_foot": ego.apply(bumper),
            "beam_way": ego.rotation @ np.array([0.9994, 0.0, -0.035]),
            "textures": 0,
            "shadow": 1,
            "glow": 2,
            "mirror": 3,
        }
        if _has_shadow(look):
            middle_m = _shadow_middle_m(ego)
            sun = sun_view(sun_way, middle_m, SHADOW_HALF_M, SHADOW_PX)
            device.shadow_target.use()
            device.shadow_target.clear(depth=1.0)
            device.ctx.enable_only(device.ctx.DEPTH_TEST)
            device.set_uniforms(SHADOW, {"clip_from_town": sun.clip_from_town})
            self.stage.draw(SHADOW, sun, setting, flat=False)
            edge = np.array([*middle_m[:2], SHADOW_HALF_M - 2.0])
            values |= {"shadow_from_town": sun.clip_from_town, "shadow_middle": edge}
        if look.dark > 0:
            glow, corner_m = night_light.glow_map(
                self._lamps_m, setting.actors, ego.translation_m, GLOW_PX, look.dark
            )
            device.glow.write(glow.tobytes())
            values |= {"glow_corner": [*corner_m, 0.0], "glow_side_m": night_light.SIDE_M}
        return values

    def _picture(
        self,
        camera: Camera,
        look: Look,
        lights: Mapping[str, object],
        setting: Setting,
        ego: Pose3,
        sight: Sight | None,
    ) -> Rgb8:
        device = self.stage.device
        view = view_of(camera, ego, REACH_M)
        cover = None if sight is None else Cover(view, sight.depths_m[camera.name])
        device.textures.use(0)
        device.shadow.use(1)
        device.glow.use(2)
        if look.wet:
            self._draw_mirror(view, look, lights, setting)
        many = device.colour_target(view.size_px, SAMPLES)
        many.use()
        self._draw_scene(view, look, lights, setting, mirror=False, cover=cover)
        one = device.colour_target(view.size_px, 0)
        device.ctx.copy_framebuffer(one, many)
        width, height = view.size_px
        pixels = np.frombuffer(one.read(components=3, alignment=1), dtype=np.uint8)
        return pixels.reshape(height, width, 3)

    def _draw_mirror(
        self, view: View, look: Look, lights: Mapping[str, object], setting: Setting
    ) -> None:
        """The town upside down, in a small picture: what a wet road reflects."""
        small = max(1, view.size_px[0] // 3), max(1, view.size_px[1] // 3)
        target, texture = self.stage.device.mirror_target(small)
        target.use()
        self._draw_scene(_mirror_of(view), look, lights, setting, mirror=True)
        texture.use(3)

    def _draw_scene(
        self,
        view: View,
        look: Look,
        lights: Mapping[str, object],
        setting: Setting,
        *,
        mirror: bool,
        cover: Cover | None = None,
    ) -> None:
        """Things first, the sky where nothing was drawn; into the framebuffer in use."""
        device = self.stage.device
        ctx = device.ctx
        kind = Kind(
            Pass.COLOUR,
            shadow=_has_shadow(look) and not mirror,
            dark=look.dark > 0,
            wet=look.wet and not mirror,
        )
        ctx.fbo.clear(depth=1.0)
        ctx.enable_only(ctx.DEPTH_TEST)
        ctx.depth_func = "<="
        place = {
            "clip_from_town": view.clip_from_town,
            "eye": view.eye_m,
            "mirror_px": view.size_px,
        }
        device.set_uniforms(kind, {**lights, **place})
        least_px = MIRROR_LEAST_PX if mirror else LEAST_PX
        self.stage.draw(kind, view, setting, flat=not mirror, least_px=least_px, cover=cover)
        town_from_clip: Floats = np.linalg.inv(view.clip_from_town)
        width, height = view.size_px if not mirror else ctx.fbo.size
        ctx.fbo.scissor = (0, 0, width, self.stage.sky_rows(view, height))
        device.draw_sky({**lights, "town_from_clip": town_from_clip, "eye": view.eye_m})
        ctx.fbo.scissor = None  # type: ignore[assignment]  # moderngl takes it


def _shadow_middle_m(ego: Pose3) -> Floats:
    return ego.apply(np.array([12.0, 0.0, 0.0]))


def _mirror_of(view: View) -> View:
    return replace(view.mirrored(), reach_m=MIRROR_REACH_M)


def _has_shadow(look: Look) -> bool:
    """A light too weak to read by casts none."""
    return max(look.sun_rgb) > 0.1
