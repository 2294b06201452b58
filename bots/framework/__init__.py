"""The plugin API: a bot is a class with handlers, and what a handler may do stands on its context."""

from bots.framework.context import Context
from bots.framework.plugin import Plugin, command, edited, joined, media, message, redacted
from bots.framework.runner import BotConsumer

__all__ = ["BotConsumer", "Context", "Plugin", "command", "edited", "joined", "media", "message", "redacted"]
