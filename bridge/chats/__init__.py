"""Rooms that Rialto makes and manages."""

from bridge.chats.purposes import Chats

__all__ = ["Chats"]
