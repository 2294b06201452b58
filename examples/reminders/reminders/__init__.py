"""``reminders``: reminds people of things, when they said."""

from .plugin import Reminders

__all__ = ["Reminders"]
