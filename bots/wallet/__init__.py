"""The wallet: people's own money."""

from bots.wallet.plugin import Wallet

__all__ = ["Wallet"]
