"""``@rialto``: where people begin. It explains, lists the services and opens a chat with the one chosen."""

from bots.hub.plugin import Hub

__all__ = ["Hub"]
