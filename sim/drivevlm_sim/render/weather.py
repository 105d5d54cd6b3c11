"""What sky, light and road look like in each weather."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from drivevlm.world.pose import Floats
from drivevlm_sim.render.shapes import Lamp
from drivevlm_sim.scene_log import Weather

Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Look:
    """One weather; colours are linear.

    Attributes:
        sun_rgb: Light of the sun, or of the brightest part of a covered sky.
        ambient_rgb: Light from everywhere.
        fog_rgb, zenith_rgb: The sky at the horizon and overhead.
        cloud_rgb, cloudy: Colour of the clouds; from which noise on there are some.
        disc_rgb: Of the sun itself.
        fog_per_m: Inverse of the distance at which things fade.
        dark: 0..1, how far lamps and windows are lit.
        beams: Strength of headlamps on the road.
        wet: Whether the road mirrors and drops lie on the lenses.
        least_elevation_rad: The light comes from at least so high: a covered sky has no low sun.
        noise: Standard deviation of a pixel, of 255.
    """

    sun_rgb: Rgb
    ambient_rgb: Rgb
    fog_rgb: Rgb
    zenith_rgb: Rgb
    cloud_rgb: Rgb
    cloudy: float
    disc_rgb: Rgb
    fog_per_m: float
    dark: float = 0.0
    beams: float = 0.0
    wet: bool = False
    least_elevation_rad: float = 0.12
    noise: float = 1.6

    def sun_way(self, sun: tuple[float, float]) -> Floats:
        """(3,) towards the light, for a sun's azimuth (from x to y) and elevation in radians."""
        azimuth, elevation = sun[0], max(sun[1], self.least_elevation_rad)
        flat = np.cos(elevation)
        return np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])

    def shine(self) -> tuple[Floats, Floats]:
        """(10, 4) colour and strength of each lamp while it is off, and while it is on.

        A negative strength shines where the texture's alpha is low: lit windows.
        """
        off, on = np.zeros((len(Lamp), 4)), np.zeros((len(Lamp), 4))
        dark = self.dark
        off[Lamp.BRAKE] = (0.42, 0.012, 0.010, 0.85 * dark)
        off[Lamp.HEAD] = (1.0, 0.97, 0.88, min(1.0, 1.6 * dark))
        off[Lamp.WINDOW] = (0.90, 0.62, 0.28, -0.9 * dark)
        off[Lamp.STREET] = (1.0, 0.86, 0.60, dark)
        on[Lamp.BRAKE] = (1.0, 0.045, 0.03, 1.0)
        on[Lamp.LEFT] = on[Lamp.RIGHT] = (1.0, 0.40, 0.02, 1.0)
        on[Lamp.RED] = (1.0, 0.03, 0.02, 1.0)
        on[Lamp.AMBER] = (1.0, 0.50, 0.02, 1.0)
        on[Lamp.GREEN] = (0.05, 0.92, 0.42, 1.0)
        return off, on


LOOKS: Mapping[Weather, Look] = {
    Weather.DAY: Look(
        sun_rgb=(1.45, 1.36, 1.18),
        ambient_rgb=(0.46, 0.52, 0.62),
        fog_rgb=(0.55, 0.64, 0.74),
        zenith_rgb=(0.10, 0.24, 0.56),
        cloud_rgb=(0.80, 0.82, 0.85),
        cloudy=0.62,
        disc_rgb=(1.0, 0.95, 0.85),
        fog_per_m=1 / 520,
    ),
    Weather.OVERCAST: Look(
        sun_rgb=(0.42, 0.42, 0.42),
        ambient_rgb=(0.70, 0.72, 0.75),
        fog_rgb=(0.53, 0.55, 0.58),
        zenith_rgb=(0.34, 0.37, 0.41),
        cloud_rgb=(0.60, 0.61, 0.63),
        cloudy=0.40,
        disc_rgb=(0.0, 0.0, 0.0),
        fog_per_m=1 / 330,
        least_elevation_rad=1.25,
    ),
    Weather.DUSK: Look(
        sun_rgb=(1.05, 0.56, 0.24),
        ambient_rgb=(0.22, 0.24, 0.34),
        fog_rgb=(0.52, 0.34, 0.25),
        zenith_rgb=(0.07, 0.11, 0.27),
        cloud_rgb=(0.55, 0.32, 0.26),
        cloudy=0.58,
        disc_rgb=(1.0, 0.62, 0.30),
        fog_per_m=1 / 420,
        dark=0.6,
        beams=0.35,
        noise=2.2,
    ),
    Weather.RAIN: Look(
        sun_rgb=(0.22, 0.22, 0.23),
        ambient_rgb=(0.42, 0.44, 0.48),
        fog_rgb=(0.34, 0.36, 0.39),
        zenith_rgb=(0.22, 0.24, 0.27),
        cloud_rgb=(0.30, 0.31, 0.33),
        cloudy=0.40,
        disc_rgb=(0.0, 0.0, 0.0),
        fog_per_m=1 / 150,
        dark=0.30,
        beams=0.15,
        wet=True,
        least_elevation_rad=1.25,
        noise=2.2,
    ),
    Weather.NIGHT: Look(
        sun_rgb=(0.014, 0.016, 0.024),
        ambient_rgb=(0.030, 0.033, 0.048),
        fog_rgb=(0.016, 0.017, 0.026),
        zenith_rgb=(0.004, 0.005, 0.012),
        cloud_rgb=(0.018, 0.018, 0.024),
        cloudy=0.60,
        disc_rgb=(0.0, 0.0, 0.0),
        fog_per_m=1 / 260,
        dark=1.0,
        beams=1.0,
        least_elevation_rad=0.9,
        noise=3.2,
    ),
}
