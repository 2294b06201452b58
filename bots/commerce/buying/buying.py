"""The buyer's side as one piece, for a plugin to inherit."""

from __future__ import annotations

from bots.commerce.buying.base import Market
from bots.commerce.buying.checkout import CheckingOut
from bots.commerce.buying.following import Following
from bots.commerce.buying.own_prices import OwnPrices
from bots.commerce.buying.wishing import Wishing


class Buying(Following, Wishing, CheckingOut, OwnPrices):
    """Everything that buyers do in chat. A plugin calls :meth:`open_market` in its constructor, and has the commands
    ``orders``, ``order`` and ``cases``, which merchants have too: :meth:`my_orders`, :meth:`my_order`,
    :meth:`my_cases`."""

    def open_market(self, market: Market) -> None:
        """Begin: buyers are asked what they think of what happens to their orders."""
        self.market = market
        market.orders.hooks.append(self.after_action)
