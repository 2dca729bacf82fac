"""Light and weather: what shines on the ground and on things, and what the air does to colours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from drivable.synthetic.camera import FloatArray

TimeOfDay = Literal["day", "dusk", "night"]
Weather = Literal["clear", "rain"]
Color = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Illumination of a scene; colours are RGB factors on albedo, 1 being a well-exposed white.

    Args:
        time: time of day.
        weather: rain hides the sun and thickens the air.
        ambient: light from the whole sky.
        sun: direct light, zero where there is no sun.
        sun_side: +1 where the sun stands left of the road (shadows fall to the right), -1 to the right.
        sun_skew: metres that a shadow slides forward for each metre that it reaches across.
        headlight: strength of the car's own headlights, 0 by day.
        lamp_spacing_m: distance between street lamps along the road; 0 for none.
        zenith: colour of the sky above.
        haze: colour of the sky at the horizon, which far things fade to.
        visibility_m: distance over which 63 % of a thing's colour is lost to the haze.

    Example:
        >>> sample_light(np.random.default_rng(0), "night", "clear").headlight > 0
        True
    """

    time: TimeOfDay
    weather: Weather
    ambient: Color
    sun: Color
    sun_side: int
    sun_skew: float
    headlight: float
    lamp_spacing_m: float
    zenith: Color
    haze: Color
    visibility_m: float

    def headlights_at(self, forward: FloatArray, left: FloatArray) -> NDArray[np.float32]:
        """The own headlights' illumination at ego-frame ground positions in metres, in the shape given."""
        forward = np.clip(forward, 0.0, 300.0)
        spread = (0.09 * left) / (1.0 + 0.06 * forward)
        beam = (1.0 - np.exp(-forward / 5.0)) / (1.0 + (forward / 17.0) ** 2) / (1.0 + (3.0 * spread) ** 2)
        return np.asarray(self.headlight * beam, dtype=np.float32)

    def lamps_at(self, station: FloatArray, lateral: FloatArray, lamp_lateral_m: float) -> NDArray[np.float32]:
        """The street lamps' illumination at road coordinates in metres, in the shape given."""
        along = station - self.lamp_spacing_m * np.round(station / self.lamp_spacing_m)
        squared = along**2 + (lateral - lamp_lateral_m) ** 2
        return np.asarray(0.5 / (1.0 + squared / 70.0) ** 1.5, dtype=np.float32)

    def on_thing(self, forward_m: float, left_m: float) -> NDArray[np.float32]:
        """RGB factor (3,) on the albedo of a thing standing at an ego-frame position in metres."""
        glow = 0.06 if self.lamp_spacing_m else 0.0
        own = float(self.headlights_at(np.array(forward_m), np.array(left_m)))
        return np.asarray(np.array(self.ambient) + 0.6 * np.array(self.sun) + glow + own, dtype=np.float32)

    def clearness(self, distance: FloatArray) -> FloatArray:
        """Share of a colour that survives the air over distances in metres, 0..1, in the shape given."""
        return np.asarray(np.exp(distance * (-1.0 / self.visibility_m)))


def sample_light(rng: np.random.Generator, time: TimeOfDay, weather: Weather) -> Light:
    """Draw the light of a time of day in a weather.

    Args:
        rng: source of randomness.
        time: ``day``, ``dusk`` or ``night``.
        weather: ``clear`` or ``rain``.

    Returns:
        The light.
    """
    rainy = weather == "rain"
    side = int(rng.choice((-1, 1)))
    skew = float(rng.uniform(-1.0, 1.0))
    gain = float(rng.uniform(0.85, 1.1))
    visibility = float(rng.uniform(110, 220) if rainy else rng.uniform(350, 900))
    ambient: Color
    zenith: Color
    haze: Color
    if time == "day":
        level = gain * (0.85 if rainy else 0.66)
        ambient = (level, 1.02 * level, 1.06 * level)
        strength = 0.0 if rainy else gain * float(rng.choice((0.15, 0.6, 0.8)))
        zenith = (0.55, 0.58, 0.62) if rainy else (0.3, 0.5, 0.82)
        haze = (0.72, 0.74, 0.76) if rainy else (0.78, 0.86, 0.93)
        return Light(
            time,
            weather,
            ambient,
            (strength, 0.96 * strength, 0.88 * strength),
            side,
            skew,
            0.0,
            0.0,
            zenith,
            haze,
            visibility,
        )
    spacing = float(rng.uniform(25, 45)) if rng.random() < 0.7 else 0.0
    if time == "dusk":
        level = gain * (0.3 if rainy else 0.34)
        strength = 0.0 if rainy else gain * float(rng.uniform(0.1, 0.35))
        zenith = (0.3, 0.32, 0.38) if rainy else (0.25, 0.32, 0.52)
        haze = (0.42, 0.42, 0.45) if rainy else (0.86, 0.62, 0.45)
        return Light(
            time, weather, (level, 0.95 * level, 1.05 * level), (strength, 0.75 * strength, 0.5 * strength),
            side, skew, 0.15, spacing, zenith, haze, visibility,
        )  # fmt: skip
    level = gain * float(rng.uniform(0.06, 0.13))
    zenith = (0.025, 0.028, 0.045)
    haze = (0.07, 0.06, 0.06) if spacing else (0.03, 0.032, 0.045)
    head = float(rng.uniform(0.6, 1.1))
    return Light(
        time,
        weather,
        (level, level, 1.15 * level),
        (0.0, 0.0, 0.0),
        side,
        skew,
        head,
        spacing,
        zenith,
        haze,
        visibility,
    )
