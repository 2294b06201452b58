"""Catalogue engines: where products come from. The built-in one, and shops that run elsewhere."""

from bots.commerce.engines.base import CatalogueEngine, EngineFailed, Listed, Page
from bots.commerce.engines.builtin import BuiltIn
from bots.commerce.engines.joined import Joined
from bots.commerce.engines.settings import VendureSettings, engine_of
from bots.commerce.engines.vendure import Vendure

__all__ = [
    "BuiltIn",
    "CatalogueEngine",
    "EngineFailed",
    "Joined",
    "Listed",
    "Page",
    "Vendure",
    "VendureSettings",
    "engine_of",
]
