"""What stands in the code of plugins and happens by itself: schedules become rows, webhooks are taken calls of.

For plugins inside the process and outside alike: those have their handlers here, these their manifest.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

from pydantic import SecretStr

from appservice.unit import UnitOfWork
from bots.framework.calls import HOOK_CALLED
from bots.framework.clock import EPOCH, to_ms
from bots.framework.consumer import SCHEDULE_FIRED, PluginConsumer
from bots.framework.recurrence import At, CatchUp, Cron, Every, Rule
from bots.framework.services import Services
from bots.framework.state import Key
from bots.framework.table import Handler
from bots.framework.webhooks import Hook, HookError, Webhooks

OWN_SCHEDULE: Final = "handler:"
"""The keys of schedules that stand in a plugin's code begin so."""
INSTALLED: Final = "rialto:handlers"
"""Whose value remembers the moments of ``@at`` that were stored once; no instance has such a name."""


@dataclass(frozen=True, slots=True)
class OwnSchedule:
    """One ``@every``, ``@at`` or ``@cron`` handler. ``name`` is its function's."""

    name: str
    rule: Rule
    catch_up: CatchUp


class Installing(Protocol):
    """Whose schedules they are."""

    @property
    def instance(self) -> str:
        """The name of the instance."""

    @property
    def name(self) -> str:
        """The consumer's."""

    @property
    def user_id(self) -> str:
        """The bot's."""


class Installer:
    """Installs and replaces them."""

    def __init__(self, services: Services, webhooks: Webhooks | None) -> None:
        self._services = services
        self._webhooks = webhooks

    async def schedules(
        self,
        consumer: Installing,
        wanted: Iterable[OwnSchedule],
        also: Callable[[UnitOfWork], None] = lambda _unit: None,
    ) -> None:
        """Store what is new or has changed, and forget what is gone. What is there already goes on as it was; a moment
        of ``@at`` that has been stored once is not stored again, or it would come back with every start.

        Args:
            also: puts more into the same commit.

        Raises:
            DatabaseError: nothing has changed, or that is unknown. To do it again does no harm.
        """
        scheduler, instance = self._services.scheduler, consumer.instance
        cause = f"~handlers:{consumer.name}:{scheduler.clock.now_ms()}:{secrets.token_hex(8)}"
        unit = UnitOfWork(cause, consumer.name, consumer.user_id)
        schedules = scheduler.of(consumer.name, unit, f"plugin:{instance}")
        there = {each.key: each for each in await schedules.list(OWN_SCHEDULE)}
        remembered = self._services.store.open(INSTALLED, unit).plugin
        key: Key[dict[str, int]] = Key(instance, dict[str, int], {})
        before = await remembered.get(key)
        moments: dict[str, int] = {}
        for each in wanted:
            known = there.pop(OWN_SCHEDULE + each.name, None)
            rule, catch_up = each.rule, each.catch_up
            if isinstance(rule, At):
                moments[each.name] = to_ms(rule.when)
                if known is None and before.get(each.name) == moments[each.name]:
                    continue
            if known is not None and _same(known.rule, rule) and known.catch_up == catch_up:
                continue
            data, named = {"name": each.name}, OWN_SCHEDULE + each.name
            if isinstance(rule, Every):
                schedules.every(rule.interval, SCHEDULE_FIRED, data, key=named, catch_up=catch_up)
            elif isinstance(rule, Cron):
                schedules.cron(rule.expression, SCHEDULE_FIRED, data, zone=rule.zone, key=named, catch_up=catch_up)
            else:
                schedules.at(rule.when, SCHEDULE_FIRED, data, key=named, catch_up=catch_up)
        for gone in there:
            schedules.cancel(gone)
        if moments != before:
            remembered.set(key, moments)
        also(unit)
        if unit.operations:
            operations = list(unit.operations)
            await self._services.database.write(lambda connection: [each(connection) for each in operations])
        scheduler.wake()  # also for what was due before the consumer was there

    def hooks(self, wanted: Iterable[Hook], before: Sequence[Hook] = ()) -> list[Hook]:
        """Take calls of these webhooks, and no more of those of before. Raises HookError."""
        hooks = list(wanted)
        if self._webhooks is not None:
            for hook in before:
                self._webhooks.remove(hook)
            for hook in hooks:
                self._webhooks.add(hook)
        return hooks


def schedules_of(consumer: PluginConsumer, now_ms: int) -> list[OwnSchedule]:
    """Those of a plugin inside the process."""
    return [
        OwnSchedule(handler.mark.name, _rule(handler, now_ms), handler.mark.catch_up)
        for handler in consumer.table.of("schedule")
    ]


def hooks_of(consumer: PluginConsumer, bot: str, settings: Any) -> list[Hook]:
    """Those of a plugin inside the process, on the bot with a localpart. Raises HookError."""
    return [
        Hook(
            bot,
            handler.mark.name,
            consumer.name,
            _secret(consumer.instance, settings, handler),
            scheme=handler.mark.scheme,  # type: ignore[arg-type]
            kind=HOOK_CALLED,
        )
        for handler in consumer.table.of("webhook")
    ]


def _secret(instance: str, settings: Any, handler: Handler) -> str:
    """The secret of a webhook, from the settings. Raises HookError."""
    value = getattr(settings, handler.mark.secret, None)
    if not isinstance(value, SecretStr):
        raise HookError(
            f"{handler.where}: its webhook needs a setting {handler.mark.secret!r}, which is a SecretStr",
            plugin=instance,
        )
    return value.get_secret_value()


def _rule(handler: Handler, now_ms: int) -> Rule:
    rule = handler.mark.rule
    if isinstance(rule, timedelta):
        return Every(rule, EPOCH + timedelta(milliseconds=now_ms))
    if isinstance(rule, datetime):
        return At(rule)
    return Cron(str(rule), handler.mark.zone or "UTC")


def _same(one: Rule, other: Rule) -> bool:
    """Whether a schedule is still what the code says; an interval goes on from where it began."""
    if isinstance(one, Every) and isinstance(other, Every):
        return one.interval == other.interval
    return one == other
