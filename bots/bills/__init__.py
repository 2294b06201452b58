"""``@bills``: pays people's bills and tops up their phones."""

from bots.bills.plugin import Bills

__all__ = ["Bills"]
