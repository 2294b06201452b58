"""What a plugin outside has Rialto do by its manifest, checked: commands to show, schedules, webhooks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from appservice import json
from appservice.errors import RialtoError
from bots.framework import builtin
from bots.framework.arguments import Signature, fold
from bots.framework.calls import HOOK_CALLED
from bots.framework.clock import from_ms
from bots.framework.commands import CommandEntry, CommandTable
from bots.framework.installing import OwnSchedule
from bots.framework.recurrence import CATCH_UP, At, Cron, Every, Rule
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.protocol import Refusal
from bots.framework.webhooks import Hook

MAX_MANIFEST: Final = 48 * 1024
"""Bytes of JSON; what Rialto remembers of a plugin is bounded."""
MAX_NAME: Final = 100


@dataclass(frozen=True, slots=True)
class Own:
    """The checked form of a manifest."""

    commands: tuple[CommandEntry, ...] = ()
    schedules: tuple[OwnSchedule, ...] = ()
    hooks: tuple[Hook, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, *, instance: str, user_id: str, settings: Mapping[str, Any], now_ms: int) -> Own:
        """What a manifest means for an instance.

        Args:
            settings: of the configuration; the secrets of webhooks are among them.

        Raises:
            Refusal: something of it cannot be, and why.
        """
        if len(json.dumps(manifest.out())) > MAX_MANIFEST:
            raise _bad("too_much", f"a manifest has {MAX_MANIFEST} bytes at most")
        schedules = tuple(_schedule(each, now_ms) for each in manifest.schedules)
        _once("schedule", [each.name for each in schedules])
        _once("webhook", [str(each["name"]) for each in manifest.webhooks])
        hooks = tuple(_hook(each, instance, user_id, settings) for each in manifest.webhooks)
        return cls(_commands(manifest, instance), schedules, hooks)


def _bad(reason: str, human: str) -> Refusal:
    return Refusal(reason, human, fatal=True, again=False)


def _once(what: str, names: list[str]) -> None:
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise _bad("malformed", f"the manifest has two of the {what} {twice[:60]!r}")


def _commands(manifest: Manifest, instance: str) -> tuple[CommandEntry, ...]:
    entries = tuple(
        CommandEntry(
            name=each["name"],
            help=each["help"],
            signature=Signature(()),  # arguments are parsed on the plugin's side
            handler=_elsewhere,
            owner=instance,
            aliases=tuple(each["aliases"]),
            hidden=each["hidden"],
            permission=each["permission"],
            described={"parameters": each["parameters"], "tail": each["tail"]},
        )
        for each in manifest.commands
    )
    taken = {fold(name) for entry in entries for name in (entry.name, *entry.aliases)}
    try:
        CommandTable([*entries, *(each for each in builtin.entries() if fold(each.name) not in taken)])
    except RialtoError as error:
        raise _bad("commands_invalid", error.human) from None
    return entries


async def _elsewhere(*_arguments: Any) -> None:
    raise RuntimeError("the plugin runs outside this process")


def _schedule(data: Mapping[str, Any], now_ms: int) -> OwnSchedule:
    name, catch_up = data["name"], data["catch_up"]
    if len(name) > MAX_NAME or not name.isprintable():
        raise _bad("malformed", f"the name of a schedule is a printable text of {MAX_NAME} characters at most")
    if catch_up not in CATCH_UP:
        raise _bad("malformed", f"a schedule catches up by one of {', '.join(CATCH_UP)}")
    try:
        return OwnSchedule(name, _rule(data["rule"], now_ms), catch_up)
    except RialtoError as error:
        raise _bad("schedule_invalid", f"the schedule {name!r}: {error.human}") from None
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise _bad("schedule_invalid", f"the schedule {name!r} needs a rule: at, every, or cron with zone") from None


def _rule(raw: Mapping[str, Any], now_ms: int) -> Rule:
    if "at" in raw:
        return At(from_ms(raw["at"]))
    if "every" in raw:
        return Every(timedelta(milliseconds=raw["every"]), from_ms(now_ms))
    expression, zone = raw["cron"], raw.get("zone") or "UTC"
    if not isinstance(expression, str) or not isinstance(zone, str):
        raise TypeError
    return Cron(expression, zone)


def _hook(data: Mapping[str, Any], instance: str, user_id: str, settings: Mapping[str, Any]) -> Hook:
    secret = settings.get(data["secret"])
    if not isinstance(secret, str):
        raise _bad(
            "webhook_invalid",
            f"the webhook {data['name'][:60]!r} needs its secret: the setting {data['secret'][:60]!r} of {instance}, "
            "in Rialto's configuration",
        )
    localpart = user_id[1:].partition(":")[0]
    try:
        return Hook(localpart, data["name"], f"{instance}:{user_id}", secret, scheme=data["scheme"], kind=HOOK_CALLED)
    except RialtoError as error:
        raise _bad("webhook_invalid", error.human) from None
