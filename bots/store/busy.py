"""What a store raises when somebody else was faster."""

from __future__ import annotations

from appservice.errors import RialtoError


class TradeBusy(RialtoError):
    """Something of commerce was changed meanwhile: nothing of the unit happens, and the handler is run again."""

    code = "trade_busy"


class StockGone(TradeBusy):
    """There is not so much left of what was ordered.

    Attributes:
        keys: merchant, product, variant and slot of what is missing.
    """

    code = "stock_gone"

    def __init__(self, keys: tuple[tuple[str, str, str, str], ...], **fields: object) -> None:
        super().__init__("there is not so much left of what was ordered", **fields)
        self.keys = keys
