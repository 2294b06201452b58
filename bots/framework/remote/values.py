"""How events, dialogs and schedules stand in frames. Reading checks what the other side sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from appservice.events import Event
from bots.framework.clock import from_ms, to_ms
from bots.framework.dialogs.run import MAX_ENTRIES, MAX_SIZE
from bots.framework.people import Person
from bots.framework.recurrence import At, Rule
from bots.framework.remote.protocol import Fields, Refusal
from bots.framework.schedules import Schedule
from bots.framework.state import Scope
from bots.store.dialogs import Change, DialogRow, EntryRow
from bots.store.tables import DialogState

MAX_PEOPLE: Final = 10_000
_ULID: Final = re.compile("[0-9A-HJKMNP-TV-Z]{26}")


def event_out(event: Event, content: Mapping[str, Any]) -> dict[str, Any]:
    """An event; with ``content`` in place of its own."""
    return {
        "event_id": event.event_id,
        "room_id": event.room_id,
        "sender": event.sender,
        "type": event.type,
        "content": content,
        "timestamp": event.timestamp,
        "state_key": event.state_key,
        "unsigned": event.unsigned,
        "encrypted": event.encrypted,
        "redacts": event.redacts,
        "internal": event.internal,
    }


def event_in(data: Mapping[str, Any], consumer: str) -> Event:
    """The event again, on the plugin's side."""
    return Event(
        event_id=data["event_id"],
        room_id=data["room_id"],
        sender=data["sender"],
        type=data["type"],
        content=data["content"],
        timestamp=data["timestamp"],
        state_key=data["state_key"],
        unsigned=data["unsigned"],
        encrypted=data["encrypted"],
        redacts=data["redacts"],
        consumer=consumer if data["internal"] else None,
    )


def person_out(person: Person) -> dict[str, Any]:
    """What a person has said of themselves."""
    return {"language": person.language, "zone": person.zone}


def person_in(data: Mapping[str, Any]) -> Person:
    """The same again."""
    return Person(data.get("language"), data.get("zone"))


def dialog_out(row: DialogRow) -> dict[str, Any]:
    """A dialog's row."""
    return {
        "id": row.id,
        "room_id": row.room_id,
        "owner": row.owner,
        "name": row.name,
        "version": row.version,
        "arguments": row.given.decode(),
        "state": int(row.state),
        "cause": row.cause,
        "started_at": row.started_at,
        "updated_at": row.updated_at,
        "people": list(row.people),
        "prompt": row.prompt,
        "waiting": None if row.waiting is None else row.known.decode(),
        "epoch": row.epoch,
        "entries": row.entries,
        "size": row.size,
        "revision": row.revision,
        "error": row.error,
        "expires_at": row.expires_at,
    }


def dialog_in(fields: Fields, consumer: str) -> DialogRow:
    """A row of a consumer.

    Raises:
        Refusal: it is none.
    """
    dialog_id, state = fields.text("id"), fields.number("state", most=max(DialogState))
    if _ULID.fullmatch(dialog_id) is None:
        raise Refusal("malformed", "the id of a dialog is a ULID")
    waiting = fields.json_or_none("waiting", most=MAX_SIZE)
    if waiting is not None and not waiting.lstrip().startswith(b"{"):
        raise Refusal("malformed", "what a dialog waits for is an object")
    return DialogRow(
        id=dialog_id,
        consumer=consumer,
        room_id=fields.text("room_id"),
        owner=fields.text("owner"),
        name=fields.text("name"),
        version=fields.text("version"),
        arguments=fields.json("arguments", most=MAX_SIZE),
        state=DialogState(state),
        cause=fields.text("cause", most=1_000),
        started_at=fields.number("started_at"),
        updated_at=fields.number("updated_at"),
        people=fields.texts("people", most=MAX_PEOPLE),
        prompt=fields.text_or_none("prompt"),
        waiting=waiting,
        epoch=fields.number("epoch", most=2**31 - 1),
        entries=fields.number("entries", most=MAX_ENTRIES + 1),
        size=fields.number("size", most=2**31 - 1),
        revision=fields.number("revision"),
        error=fields.text_or_none("error"),
        expires_at=fields.number_or_none("expires_at"),
    )


def entry_out(entry: EntryRow) -> dict[str, Any]:
    """One entry of a journal."""
    return {
        "kind": entry.kind,
        "name": entry.name,
        "value": entry.value.decode(),
        "prompt": entry.prompt,
        "at": entry.at,
    }


def entry_in(fields: Fields) -> EntryRow:
    """The same again. Raises Refusal."""
    return EntryRow(
        kind=fields.text("kind"),
        name=fields.text("name"),
        value=fields.json("value", most=2 * MAX_SIZE),
        prompt=fields.text_or_none("prompt"),
        at=fields.number("at"),
    )


def change_out(change: Change) -> dict[str, Any]:
    """What a commit does to a dialog."""
    return {
        "row": dialog_out(change.row),
        "first": change.first,
        "entries": [entry_out(entry) for entry in change.entries],
        "cut": change.cut,
    }


def change_in(fields: Fields, consumer: str) -> Change:
    """The same again. Raises Refusal."""
    change = Change(
        dialog_in(fields.inner("row"), consumer),
        fields.number("first", most=MAX_ENTRIES + 1),
        tuple(entry_in(each) for each in fields.objects("entries", most=MAX_ENTRIES + 1)),
        cut=fields.flag("cut"),
    )
    size = sum(len(entry.value) for entry in change.entries)
    if size > 2 * MAX_SIZE or change.first + len(change.entries) > MAX_ENTRIES + 1:
        raise Refusal("too_much", f"a dialog has {MAX_ENTRIES} entries and {MAX_SIZE} bytes at most")
    return change


def scope_out(scope: Scope) -> dict[str, Any]:
    """Whose a value is."""
    return {"kind": scope.kind, "room_id": scope.room_id, "user_id": scope.user_id}


def scope_in(fields: Fields) -> Scope:
    """The same again.

    Raises:
        Refusal, StateError: it is no scope.
    """
    kind = fields.text("kind")
    room_id, user_id = fields.text("room_id", default=""), fields.text("user_id", default="")
    if kind == "plugin":
        return Scope.plugin()
    if kind == "room":
        return Scope.room(room_id)
    if kind == "user":
        return Scope.user(user_id)
    if kind == "member":
        return Scope.member(room_id, user_id)
    raise Refusal("malformed", "a scope is one of plugin, room, user, member")


def schedule_out(schedule: Schedule, rule: Mapping[str, Any]) -> dict[str, Any]:
    """What is to happen later."""
    return {
        "key": schedule.key,
        "kind": schedule.kind,
        "rule": rule,
        "catch_up": schedule.catch_up,
        "room_id": schedule.room_id,
        "person": schedule.person,
        "due": to_ms(schedule.due),
        "fired": schedule.fired,
        "data": schedule.data,
    }


def schedule_in(data: Mapping[str, Any], rule: Rule) -> Schedule:
    """The same again, on the plugin's side."""
    return Schedule(
        key=data["key"],
        kind=data["kind"],
        rule=rule,
        catch_up=data["catch_up"],
        room_id=data["room_id"],
        person=data["person"],
        due=from_ms(data["due"]),
        fired=data["fired"],
        data=data["data"],
    )


def next_due(rule: Rule, now: int) -> int:
    """When a schedule that is stored now is due first (ms)."""
    if isinstance(rule, At):
        return to_ms(rule.when)
    return rule.after(now) or now


def mark_rule(rule: timedelta | datetime | str, zone: str) -> dict[str, Any]:
    """The rule of a ``@every``, ``@at`` or ``@cron`` handler."""
    if isinstance(rule, timedelta):
        return {"every": rule // timedelta(milliseconds=1)}
    if isinstance(rule, datetime):
        return {"at": to_ms(rule)}
    return {"cron": rule, "zone": zone}
