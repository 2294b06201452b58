"""What is public, and on which page of the reference it stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

PUBLIC: Final[Mapping[str, tuple[str, ...] | None]] = {
    "bots.framework": None,
    "bots.framework.arguments": ("date_", "duration", "time_", "when"),
    "bots.framework.content": None,
    "bots.framework.dialogs": None,
    "bots.framework.http": None,
    "bots.framework.i18n": (
        "WORDS",
        "English",
        "Formats",
        "Translator",
        "ZoneAnswer",
        "_",
        "fold",
        "parse_language",
        "parse_zone",
        "words",
    ),
    "bots.framework.testing": None,
    "bots.domain.money": ("Currency", "Money", "MoneyError"),
}
"""The public names by module; None: all of its ``__all__``."""

INTERNAL: Final = frozenset(
    {
        "bots.framework.Context.__init__",
        "bots.framework.Context.answerer",
        "bots.framework.Context.begun",
        "bots.framework.Context.consumer",
        "bots.framework.Context.discard",
        "bots.framework.Context.env",
        "bots.framework.Context.incoming",
        "bots.framework.Context.services",
        "bots.framework.Context.starts",
        "bots.framework.Context.touched",
        "bots.framework.Context.unit",
        "bots.framework.Context.unmatched",
        "bots.framework.Dialog.__init__",
        "bots.framework.Event.__init__",
        "bots.framework.Event.consumer",
        "bots.framework.Event.internal",
        "bots.framework.Event.parse",
        "bots.framework.InvalidValue.__init__",
        "bots.framework.InvalidValue.of",
        "bots.framework.InvalidValue.of_money",
        "bots.framework.Key.adapter",
        "bots.framework.ParseEnv.vocabulary",
        "bots.framework.PaymentChange.__init__",
        "bots.framework.PaymentChange.of",
        "bots.framework.Range.check",
        "bots.framework.Schedule.__init__",
        "bots.framework.Schedules.__init__",
        "bots.framework.Schedules.discard",
        "bots.framework.State.__init__",
        "bots.framework.State.scope",
        "bots.framework.States.__init__",
        "bots.framework.States.discard",
        "bots.framework.States.effect",
        "bots.framework.States.name",
        "bots.framework.States.pending",
        "bots.framework.States.pending_in",
        "bots.framework.States.store",
        "bots.framework.States.unit",
        "bots.framework.WebhookCall.of",
        "bots.framework.http.HttpClient.start",
        "bots.framework.http.HttpClient.stop",
        "bots.framework.http.HttpResponse.__init__",
        "bots.framework.i18n.Formats.value",
        "bots.framework.testing.ManualClock.wait_until",
        "bots.framework.testing.ManualClock.waiting",
        "bots.framework.testing.Message.__init__",
        "bots.framework.testing.Person.__init__",
        "bots.framework.testing.Room.__init__",
        "bots.framework.testing.World.change_member",
        "bots.framework.testing.World.consumer_name",
        "bots.framework.testing.World.database",
        "bots.framework.testing.World.homeserver",
        "bots.framework.testing.World.is_message_of_a_bot",
        "bots.framework.testing.World.people",
        "bots.framework.testing.World.place",
        "bots.framework.testing.World.raise_events",
        "bots.framework.testing.WorldPayments.__init__",
        "bots.framework.testing.WorldPayments.request",
        "bots.framework.testing.WorldPayments.withdraw",
    }
)
"""Members of public classes that are not public: the framework's own seams, and constructors that only it calls."""

OWN_BASES: Final = ("appservice.", "bots.")
"""Where bases lie whose members count as the class's own."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page. ``guide`` is the page of the guide on the same topic, ``names`` are public names without their
    module when that is ``bots.framework``."""

    slug: str
    title: str
    words: str
    guide: str
    names: tuple[str, ...] = ()
    module: str = ""
    """All public names of this module that stand on no other page."""


PAGES: Final = (
    Page(
        "plugins",
        "Plugins and handlers",
        "The class that a plugin is, what it is made with, and the decorators that make methods into handlers.",
        "handlers.md",
        (
            "Plugin",
            "Setup",
            "ScopeMissing",
            "RialtoError",
            "command",
            "message",
            "media",
            "location",
            "beacon",
            "Beacon",
            "reaction",
            "joined",
            "member",
            "edited",
            "redacted",
            "middleware",
            "payment_changed",
            "PaymentChange",
            "RateLimit",
            "API_VERSION",
        ),
    ),
    Page(
        "arguments",
        "Arguments",
        "Annotations of a command's parameters, and of `parse=` in dialogs, beyond Python's own types.",
        "handlers.md#arguments",
        ("Rest", "Range", "UserID", "RoomAlias", "Place", "ParseEnv", "InvalidValue"),
        "bots.framework.arguments",
    ),
    Page(
        "context",
        "Context",
        "What a handler is given: the event at hand, and everything that may be done about it.",
        "handlers.md#what-a-handler-may-do",
        ("Context", "Event"),
    ),
    Page(
        "dialogs",
        "Dialogs",
        "Conversations as straight functions.",
        "dialogs.md",
        ("dialog", "Dialog", "Attachment", "Said"),
        "bots.framework.dialogs",
    ),
    Page(
        "choices",
        "Choices",
        "Options that are more than a label. They are offered by `Dialog.choose`, `choose_many` and `vote`.",
        "choices.md",
        ("Option",),
    ),
    Page(
        "state",
        "State",
        "What a plugin remembers.",
        "state.md",
        ("Key", "State", "States", "StateError", "StateConflict"),
    ),
    Page(
        "schedules",
        "Schedules",
        "What happens later, or again and again.",
        "schedules.md",
        ("every", "at", "cron", "timer", "Schedules", "Schedule", "ScheduleError"),
    ),
    Page("webhooks", "Webhooks", "Calls of other services.", "webhooks.md", ("webhook", "WebhookCall")),
    Page("http", "HTTP", "Calls to other services.", "http.md", (), "bots.framework.http"),
    Page(
        "translations",
        "Translations",
        "Texts in a person's language.",
        "translations.md",
        (),
        "bots.framework.i18n",
    ),
    Page(
        "testing",
        "Testing",
        "A world for tests of plugins: people, rooms, a clock, payments; no homeserver.",
        "testing.md",
        (),
        "bots.framework.testing",
    ),
    Page("money", "Money", "Amounts that are exact.", "dialogs.md#payments", (), "bots.domain.money"),
    Page(
        "content",
        "Content",
        "What messages are made of: functions that return the content of an event, for `ctx.send` and `d.send`.",
        "handlers.md#messages",
        ("safe",),
        "bots.framework.content",
    ),
)
