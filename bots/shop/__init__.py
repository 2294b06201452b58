"""``@shop``: people look round, order and follow what merchants sell; merchants sell."""

from bots.shop.plugin import Shop

__all__ = ["Shop"]
