"""The buyer's side, for every bot that sells: addresses, cart, extras, checkout, orders, cases, ratings, wishes."""

from bots.commerce.buying.base import Market
from bots.commerce.buying.buying import Buying

__all__ = ["Buying", "Market"]
