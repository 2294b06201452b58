"""The plugin API: a bot is a class with handlers, and what a handler may do stands on its context."""

from bots.framework.arguments import Place, Range, Rest, RoomAlias, UserID
from bots.framework.calls import WebhookCall
from bots.framework.choices import Option
from bots.framework.consumer import PluginConsumer
from bots.framework.content import safe
from bots.framework.context import Context
from bots.framework.dialogs import Attachment, Dialog, Said
from bots.framework.handlers import (
    at,
    command,
    cron,
    dialog,
    edited,
    every,
    joined,
    location,
    media,
    member,
    message,
    middleware,
    reaction,
    redacted,
    timer,
    webhook,
)
from bots.framework.limits import RateLimit
from bots.framework.plugin import Plugin, Setup

__all__ = [
    "Attachment",
    "Context",
    "Dialog",
    "Option",
    "Place",
    "Plugin",
    "PluginConsumer",
    "Range",
    "RateLimit",
    "Rest",
    "RoomAlias",
    "Said",
    "Setup",
    "UserID",
    "WebhookCall",
    "at",
    "command",
    "cron",
    "dialog",
    "edited",
    "every",
    "joined",
    "location",
    "media",
    "member",
    "message",
    "middleware",
    "reaction",
    "redacted",
    "safe",
    "timer",
    "webhook",
]
