"""The rider's side of the conversation."""

from bots.rides.riding.riding import Riding

__all__ = ["Riding"]
