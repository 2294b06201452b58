"""A small city to try things out in: restaurants and shops with what they sell."""

from bots.commerce.seed.demo import Demo, DemoSettings
from bots.commerce.seed.planting import plant
from bots.commerce.seed.reading import Centre, Seed, city

__all__ = ["Centre", "Demo", "DemoSettings", "Seed", "city", "plant"]
