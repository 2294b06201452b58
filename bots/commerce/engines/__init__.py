"""Catalogue engines: where products come from. The built-in one, and shops that run elsewhere."""

from bots.commerce.engines.base import CatalogueEngine, EngineFailed, Listed, Page
from bots.commerce.engines.builtin import BuiltIn

__all__ = ["BuiltIn", "CatalogueEngine", "EngineFailed", "Listed", "Page"]
