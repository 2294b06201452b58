"""What a plugin outside the process says of its handlers when it connects, so that Rialto knows what to ask it for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bots.framework.commands import described
from bots.framework.handlers import Mark
from bots.framework.plugin import Plugin
from bots.framework.remote.protocol import Fields
from bots.framework.remote.values import mark_rule
from bots.framework.table import HandlerTable

MOST: Final = 500
MOST_PARAMETERS: Final = 50


@dataclass(frozen=True, slots=True)
class Manifest:
    """A plugin's handlers, as far as Rialto has to know of them.

    Attributes:
        commands: ``name``, ``help``, ``aliases``, ``hidden``, ``permission`` of each, and for clients
            ``parameters`` (``key``, ``schema``, ``description``, ``optional``) and ``tail``, the one that takes the
            rest of a line (MSC4391).
        permissions: the permissions that its handlers ask for.
        webhooks: ``name``, ``secret`` (the setting that holds it) and ``scheme`` of each.
        schedules: ``name``, ``rule``, ``catch_up`` of each ``@every``, ``@at`` and ``@cron``.
        members: whether it hears of people who come and go.
    """

    plugin: str
    summary: str = ""
    scopes: tuple[str, ...] = ()
    commands: tuple[Mapping[str, Any], ...] = ()
    permissions: tuple[str, ...] = ()
    webhooks: tuple[Mapping[str, Any], ...] = ()
    schedules: tuple[Mapping[str, Any], ...] = ()
    dialogs: tuple[str, ...] = field(default=())
    members: bool = False

    @classmethod
    def of(cls, plugin: type[Plugin]) -> Manifest:
        """What a plugin's class says.

        Raises:
            DefinitionError: one of its handlers can never be called.
        """
        table = HandlerTable(object.__new__(plugin), plugin.plugin_name())
        marks = [handler.mark for handlers in table.by_kind.values() for handler in handlers]
        asked = {mark.permission for mark in marks} | {entry.permission for entry in table.commands}
        return cls(
            plugin=plugin.plugin_name(),
            summary=plugin.summary,
            scopes=tuple(sorted(plugin.scopes)),
            commands=tuple(
                {
                    "name": entry.name,
                    "help": entry.help,
                    "aliases": list(entry.aliases),
                    "hidden": entry.hidden,
                    "permission": entry.permission,
                    **described(entry),
                }
                for entry in table.commands
            ),
            permissions=tuple(sorted(permission for permission in asked if permission is not None)),
            webhooks=tuple(_webhook(handler.mark) for handler in table.of("webhook")),
            schedules=tuple(_schedule(handler.mark) for handler in table.of("schedule")),
            dialogs=tuple(table.dialogs),
            members=table.members,
        )

    def out(self) -> dict[str, Any]:
        """As it stands in a frame."""
        return {
            "plugin": self.plugin,
            "summary": self.summary,
            "scopes": list(self.scopes),
            "commands": list(self.commands),
            "permissions": list(self.permissions),
            "webhooks": list(self.webhooks),
            "schedules": list(self.schedules),
            "dialogs": list(self.dialogs),
            "members": self.members,
        }

    @classmethod
    def read(cls, fields: Fields) -> Manifest:
        """What the other side sent. Raises Refusal."""
        return cls(
            plugin=fields.text("plugin", most=64, empty=False),
            summary=fields.text("summary", most=1_000, default=""),
            scopes=fields.texts("scopes", most=100),
            commands=tuple(
                {
                    "name": each.text("name", empty=False),
                    "help": each.text("help", most=1_000),
                    "aliases": list(each.texts("aliases", most=20)),
                    "hidden": each.flag("hidden"),
                    "permission": each.text_or_none("permission"),
                    "parameters": [_parameter(one) for one in each.objects("parameters", most=MOST_PARAMETERS)],
                    "tail": each.text_or_none("tail"),
                }
                for each in fields.objects("commands", most=MOST)
            ),
            permissions=fields.texts("permissions", most=MOST),
            webhooks=tuple(
                {"name": each.text("name", empty=False), "secret": each.text("secret"), "scheme": each.text("scheme")}
                for each in fields.objects("webhooks", most=MOST)
            ),
            schedules=tuple(
                {
                    "name": each.text("name", empty=False),
                    "rule": each.mapping("rule"),
                    "catch_up": each.text("catch_up"),
                }
                for each in fields.objects("schedules", most=MOST)
            ),
            dialogs=fields.texts("dialogs", most=MOST),
            members=fields.flag("members"),
        )


def _parameter(fields: Fields) -> dict[str, Any]:
    parameter = {
        "key": fields.text("key", empty=False),
        "schema": fields.mapping("schema"),
        "description": fields.mapping("description"),
    }
    return {**parameter, "optional": True} if fields.flag("optional") else parameter


def _webhook(mark: Mark) -> dict[str, Any]:
    return {"name": mark.name, "secret": mark.secret, "scheme": mark.scheme}


def _schedule(mark: Mark) -> dict[str, Any]:
    return {"name": mark.name, "rule": mark_rule(mark.rule, mark.zone), "catch_up": mark.catch_up}
