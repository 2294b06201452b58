"""``echo``: a developer's example. It answers text with the same text and an image with the same image."""

from bots.echo.plugin import Echo

__all__ = ["Echo"]
