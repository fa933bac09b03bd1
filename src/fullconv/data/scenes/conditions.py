"""Season, time of day and weather, and what they do to light, sky and colours."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

Color = tuple[float, float, float]
"""Red, green, blue, 0 to 1."""

SEASONS = ("spring", "summer", "autumn", "winter")
TIMES = ("day", "dusk", "night")


@dataclass(frozen=True)
class Conditions:
    """Everything that the whole scene shares.

    Args:
        season: one of `SEASONS`.
        time: one of `TIMES`.
        weather: clear, overcast or fog.
        ambient, sun: light from all around and from the sun.
        sun_direction: unit vector towards the sun (x, y, z).
        sky_top, sky_bottom: the sky's colours.
        haze: metres after which about two thirds of a thing's colour is lost in the haze.
        snow: share of snow on what lies open, 0 to 1.
        exposure: mean brightness that the camera aims at, per channel (white balance included).
        grain: standard deviation of the sensor's noise.
    """

    season: str
    time: str
    weather: str
    ambient: Color
    sun: Color
    sun_direction: Color
    sky_top: Color
    sky_bottom: Color
    haze: float
    snow: float
    exposure: Color
    grain: float

    @property
    def lamps_on(self) -> bool:
        return self.time != "day"

    @property
    def lit_windows(self) -> float:
        """Share of windows with light in them."""
        return {"day": 0.0, "dusk": 0.22, "night": 0.4}[self.time]


def random_conditions(chance: Random) -> Conditions:
    """Four seasons alike; day in six scenes of ten, dusk and night in two each."""
    season = chance.choice(SEASONS)
    time = chance.choices(TIMES, weights=(6, 2, 2))[0]
    weather = chance.choices(("clear", "overcast", "fog"), weights=(4, 5, 1))[0]
    azimuth = chance.choice((0.0, math.pi)) + chance.gauss(0.0, 0.7)
    low, high = (28, 62) if season in ("spring", "summer") else (20, 36)
    elevation = math.radians(chance.uniform(low, high) if time == "day" else chance.uniform(7, 14))
    if time == "day" and weather == "clear":
        ambient, sun = (0.52, 0.55, 0.61), (0.78, 0.72, 0.62)
        shade = chance.uniform(0.75, 1.1)
        sky_top, sky_bottom = mixed((0.24, 0.45, 0.78), (0.45, 0.62, 0.82), chance.random()), (0.74, 0.82, 0.88)
        sky_top = scaled(sky_top, shade)
    elif time == "day":
        ambient, sun = (0.76, 0.77, 0.79), (0.07, 0.07, 0.06)
        grey = chance.uniform(0.52, 0.86)
        sky_top, sky_bottom = (grey * 0.94, grey * 0.97, grey), (grey * 1.06, grey * 1.06, grey * 1.05)
    elif time == "dusk":
        ambient, sun = (0.44, 0.41, 0.46), (0.46, 0.29, 0.16)
        if weather != "clear":
            ambient, sun = (0.40, 0.38, 0.44), (0.05, 0.03, 0.02)
        top = mixed((0.22, 0.24, 0.42), (0.45, 0.36, 0.48), chance.random())
        sky_top, sky_bottom = top, mixed((0.92, 0.56, 0.36), (0.72, 0.50, 0.50), chance.random())
    else:
        ambient, sun = (0.22, 0.23, 0.29), (0.0, 0.0, 0.0)
        glow = chance.uniform(1.0, 2.0)
        sky_top, sky_bottom = scaled((0.06, 0.07, 0.11), glow), scaled((0.14, 0.13, 0.15), glow)
    haze = {"clear": 420.0, "overcast": 260.0, "fog": chance.uniform(45, 90)}[weather]
    balance, tint = chance.gauss(0.0, 0.055), chance.gauss(0.0, 0.02)
    gain = chance.uniform(*{"day": (0.36, 0.54), "dusk": (0.30, 0.44), "night": (0.23, 0.33)}[time])
    return Conditions(
        season=season,
        time=time,
        weather=weather,
        ambient=ambient,
        sun=sun,
        sun_direction=(
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
            math.cos(elevation) * math.cos(azimuth),
        ),
        sky_top=sky_top,
        sky_bottom=sky_bottom,
        haze=haze,
        snow=chance.uniform(0.45, 0.95) if season == "winter" and chance.random() < 0.75 else 0.0,
        exposure=(gain * (1 + balance), gain * (1 + tint), gain * (1 - balance)),
        grain=chance.uniform(0.010, 0.018) if time == "night" else chance.uniform(0.005, 0.011),
    )


def mixed(first: Color, second: Color, share: float) -> Color:
    """`share` of the second colour in the first.

    >>> mixed((0.0, 0.0, 0.0), (1.0, 1.0, 1.0), 0.25)
    (0.25, 0.25, 0.25)
    """
    return (
        first[0] + share * (second[0] - first[0]),
        first[1] + share * (second[1] - first[1]),
        first[2] + share * (second[2] - first[2]),
    )


def scaled(color: Color, factor: float) -> Color:
    """A colour made darker or brighter.

    >>> scaled((0.5, 0.25, 0.0), 2.0)
    (1.0, 0.5, 0.0)
    """
    return color[0] * factor, color[1] * factor, color[2] * factor
