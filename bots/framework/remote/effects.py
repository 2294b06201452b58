"""What a plugin outside the process wants to happen, checked and put into the unit of work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection

from appservice import json
from appservice.store.tables import OutboxKind
from appservice.unit import UnitOfWork
from bots.domain.money import Money
from bots.framework.dialogs.payments import Payment
from bots.framework.dialogs.storage import StoredDialogs
from bots.framework.recurrence import decode
from bots.framework.remote.protocol import Fields, Limits, Refusal
from bots.framework.remote.rights import Rights
from bots.framework.remote.values import change_in, scope_in
from bots.framework.schedules import _Wanted
from bots.framework.services import Services
from bots.framework.state import MAX_VALUE, Key, State, States
from bots.store import dialogs as dialogs_sql

MAX_CONTENT: Final = 64 * 1024
"""The specification bounds an event so, and the homeserver refuses more."""
MAX_ORDINAL: Final = 1_000_000
_KINDS: Final = {"event": OutboxKind.EVENT, "state": OutboxKind.STATE, "redaction": OutboxKind.REDACTION}
# Made by the homeserver and the outbox alone.
_NOT_SENT: Final = frozenset({"m.room.encrypted", "m.room.redaction"})
# The containment of plugins speaks through these.
_NOT_RAISED: Final = frozenset({"rialto.report"})

Apply = Callable[[Fields, UnitOfWork, States], Awaitable[None]]


class Effects:
    """Puts the effects of one plugin instance into units. Nothing of a refused frame gets into one."""

    def __init__(self, rights: Rights, services: Services, limits: Limits) -> None:
        self._rights = rights
        self._services = services
        self._limits = limits
        self._dialogs = StoredDialogs(services.database, services.sealer)
        self._operations: Mapping[str, Apply] = {
            "dialog.save": self._dialog_save,
            "state.set": self._state_set,
            "state.delete": self._state_delete,
            "state.add": self._state_add,
            "state.guard": self._state_guard,
            "schedule.put": self._schedule_put,
            "schedule.cancel": self._schedule_cancel,
            "people.language": self._people_language,
            "people.zone": self._people_zone,
            "payment.request": self._payment_request,
            "payment.withdraw": self._payment_withdraw,
        }

    async def apply(self, data: Any, unit: UnitOfWork, person: str) -> None:
        """Put everything into the unit, in order.

        Args:
            person: whose event it answers.

        Raises:
            Refusal: something of it must not be.
            RialtoError: the framework refuses it for what it is, as it would of a plugin inside.
        """
        fields = Fields(data, "the effects")
        messages = fields.objects("messages", most=self._limits.messages)
        operations = fields.objects("operations", most=self._limits.operations)
        prepared = [self._message(each) for each in messages]
        found = [(self._operation(each), each) for each in operations]
        for kind, room_id, event_type, target, content, ordinal, key in prepared:
            if key is None:
                unit._ordinal = ordinal
            unit._add(kind, room_id, event_type, target, content, None, key)
        states = self._services.store.open(self._rights.instance, unit)
        for apply, each in found:
            if apply in (self._people_language, self._people_zone) and each.text("user_id") != person:
                raise Refusal("foreign_person", "what a person says of themselves is set in answer to them alone")
            await apply(each, unit, states)

    def _operation(self, fields: Fields) -> Apply:
        name = fields.text("op")
        found = self._operations.get(name)
        if found is None:
            raise Refusal("unknown_operation", f"there is no operation {name[:60]!r}")
        return found

    # Messages

    def _message(self, fields: Fields) -> tuple[OutboxKind, str, str, str | None, Mapping[str, Any], int, str | None]:
        kind = _KINDS.get(fields.text("kind"))
        if kind is None:
            raise Refusal("malformed", f"a message is one of {', '.join(_KINDS)}")
        user_id = fields.text("user_id", default=self._rights.user_id)
        if user_id != self._rights.user_id:
            raise Refusal("foreign_user", f"{self._rights.user_id} cannot send as another user")
        room_id = self._rights.room(fields.text("room_id"))
        event_type = fields.text("type", empty=False)
        target = fields.text_or_none("target", most=1_000)
        content = fields.mapping("content")
        if kind is OutboxKind.EVENT and event_type in _NOT_SENT:
            raise Refusal("not_allowed", f"{event_type} is not sent by plugins")
        if kind is OutboxKind.STATE:
            if target is None:
                raise Refusal("malformed", "a state event has a state key")
            if event_type == "m.room.member":
                self._rights.require("rooms.create", "invite people")
        if kind is OutboxKind.REDACTION and not target:
            raise Refusal("malformed", "a redaction names an event")
        key = fields.text_or_none("key", most=1_000)
        ordinal = fields.number("ordinal", most=MAX_ORDINAL) if key is None else 0
        return kind, room_id, event_type, target, content, ordinal, key

    # Dialogs

    async def _dialog_save(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        consumer, sealer = self._rights.consumer, self._services.sealer
        change = change_in(fields, consumer)
        self._rights.room(change.row.room_id)

        def owned(connection: Connection) -> None:
            row = dialogs_sql.get(connection, sealer, change.row.id)
            if row is not None and (row.consumer != consumer or row.room_id != change.row.room_id):
                raise Refusal("foreign_dialog", "this dialog is of another plugin")

        if change.row.revision:
            unit.store(owned)
        self._dialogs.save(unit, change)

    # State

    def _at(self, fields: Fields, states: States) -> tuple[State, Key[Any]]:
        ttl = fields.number_or_none("ttl", least=1)
        key: Key[Any] = Key(fields.text("key"), Any, ttl=None if ttl is None else timedelta(milliseconds=ttl))
        return State(states, scope_in(fields.inner("scope"))), key

    async def _state_set(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        state, key = self._at(fields, states)
        state.set(key, json.loads(fields.json("value", most=MAX_VALUE)))

    async def _state_delete(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        state, key = self._at(fields, states)
        state.delete(key)

    async def _state_add(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        state, key = self._at(fields, states)
        state.add(key, fields.number("amount", least=-(2**63) + 1, most=2**63 - 1))

    async def _state_guard(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        """Set the value if what lies there is still what the plugin has seen, byte for byte."""
        state, key = self._at(fields, states)
        expected = fields.json_or_none("expected", most=MAX_VALUE)
        value = json.loads(fields.json("value", most=MAX_VALUE))
        state._guarded(key, lambda stored: stored == expected, value, None)

    # Schedules

    async def _schedule_put(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        kind, room_id = fields.text("kind", empty=False), fields.text("room_id")
        if kind in _NOT_RAISED:
            raise Refusal("not_allowed", f"{kind} is not raised by plugins")
        if room_id.startswith("!"):
            self._rights.room(room_id)
        catch_up = fields.text("catch_up")
        if catch_up not in {"skip", "once", "all"}:
            raise Refusal("malformed", "a schedule catches up by one of skip, once, all")
        data = fields.json("data", most=MAX_CONTENT)
        wanted = _Wanted(
            key=fields.text("key", most=200, empty=False),
            kind=kind,
            rule=decode(fields.mapping("rule")),
            catch_up=catch_up,  # type: ignore[arg-type]
            room_id=room_id,
            person=fields.text("person"),
            data=json.loads(data),
            follows=fields.flag("follows"),
            incarnation=fields.text("incarnation", most=64, empty=False),
        )
        self._services.scheduler.store(unit, self._rights.consumer, wanted)

    async def _schedule_cancel(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        key = fields.text("key", most=200, empty=False)
        self._services.scheduler.cancel(unit, consumer=self._rights.consumer, key=key)

    # People

    async def _people_language(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        self._services.people.set_language(unit, fields.text("user_id"), fields.text_or_none("language"))

    async def _people_zone(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        self._services.people.set_zone(unit, fields.text("user_id"), fields.text_or_none("zone"))

    # Payments

    async def _payment_request(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        self._rights.require("payments.charge", "ask for payments")
        payments = self._services.payments
        if payments is None:
            raise Refusal("no_payments", "there is no wallet to pay with")
        minor = fields.number("minor", least=-(2**63), most=2**63 - 1)
        payment = Payment(
            key=fields.text("key", empty=False),
            payer=fields.text("payer"),
            amount=Money(minor, fields.text("currency", most=3)),
            to=fields.text("to"),
            memo=fields.text("memo", most=1_000),
            consumer=self._rights.consumer,
            room_id=self._rights.room(fields.text("room_id")),
            dialog=fields.text("dialog"),
        )
        await payments.request(payment, unit)

    async def _payment_withdraw(self, fields: Fields, unit: UnitOfWork, states: States) -> None:
        self._rights.require("payments.charge", "ask for payments")
        if self._services.payments is not None:
            await self._services.payments.withdraw(fields.text("key", empty=False), unit)
