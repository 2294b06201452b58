"""The plugin API: a bot is a class with handlers, and what a handler may do stands on its context.

What is public, and what is promised of it: ``docs/plugins/stability.md``.
"""

from typing import Final

from appservice.errors import RialtoError
from appservice.events import Event
from bots.framework.arguments import InvalidValue, ParseEnv, Place, Range, Rest, RoomAlias, UserID
from bots.framework.beacons import Beacon
from bots.framework.calls import WebhookCall
from bots.framework.choices import Option
from bots.framework.content import safe
from bots.framework.context import Context
from bots.framework.dialogs import Attachment, Dialog, Said
from bots.framework.handlers import (
    at,
    beacon,
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
    payment_changed,
    reaction,
    redacted,
    timer,
    webhook,
)
from bots.framework.limits import RateLimit
from bots.framework.payment_changes import PaymentChange
from bots.framework.plugin import Plugin, ScopeMissing, Setup
from bots.framework.schedules import Schedule, ScheduleError, Schedules
from bots.framework.state import Key, State, StateConflict, StateError, States

API_VERSION: Final = "1.0"
"""The version of the plugin API, apart from Rialto's own: semantic versioning, see ``docs/plugins/stability.md``."""

__all__ = [
    "API_VERSION",
    "Attachment",
    "Beacon",
    "Context",
    "Dialog",
    "Event",
    "InvalidValue",
    "Key",
    "Option",
    "ParseEnv",
    "PaymentChange",
    "Place",
    "Plugin",
    "Range",
    "RateLimit",
    "Rest",
    "RialtoError",
    "RoomAlias",
    "Said",
    "Schedule",
    "ScheduleError",
    "Schedules",
    "ScopeMissing",
    "Setup",
    "State",
    "StateConflict",
    "StateError",
    "States",
    "UserID",
    "WebhookCall",
    "at",
    "beacon",
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
    "payment_changed",
    "reaction",
    "redacted",
    "safe",
    "timer",
    "webhook",
]
