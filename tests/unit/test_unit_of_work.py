"""The unit of work: what it collects, and transaction ids that are the same for ever and never the same for two."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appservice.json import JSONError
from appservice.store.tables import OutboxKind
from appservice.unit import UNSENT, UnitOfWork, transaction_id

BOT = "@bot:localhost"
ROOM = "!room:localhost"


def unit(event_id: str = "$cause", consumer: str = "bot:" + BOT) -> UnitOfWork:
    """A unit."""
    return UnitOfWork(event_id, consumer, BOT)


def content(one: UnitOfWork, index: int = -1) -> Any:
    """What a message says."""
    return json.loads(one.messages[index].content)


def test_transaction_ids_never_change() -> None:
    """Fixed figures: another way to make them would send again what the last version sent."""
    assert transaction_id("$event", "bot:@bot:localhost", 0) == "rdba4n3pgebrlvnbsi44epyucken6stau"
    assert re.fullmatch(r"r[a-z2-7]{32}", transaction_id("$event", "bot:@bot:localhost", 1))


@given(st.lists(st.tuples(st.text(), st.text(), st.integers(0, 99)), unique=True, max_size=30))
def test_transaction_ids_differ_when_anything_does(causes: list[tuple[str, str, int]]) -> None:
    causes = [cause for cause in causes if "\0" not in cause[0] + cause[1] and _encodable(cause[0] + cause[1])]
    assert len({transaction_id(*cause) for cause in causes}) == len(causes)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def test_a_second_run_of_a_handler_makes_the_same_messages() -> None:
    def handler(one: UnitOfWork) -> None:
        reference = one.send(ROOM, {"body": "a"})
        one.edit(ROOM, reference, {"body": "b"})
        one.react("!other:localhost", "$x", "👍")
        one.redact(ROOM, "$x", reason="r")

    first, second = unit(), unit()
    handler(first)
    handler(second)
    assert first.messages == second.messages
    assert len({message.txn_id for message in first.messages}) == 4


def test_two_consumers_of_one_event_never_share_an_id() -> None:
    """The homeserver's cache knows a path and a service, not a user: MATRIX.md, Delivery 5."""
    ids = set()
    for consumer in ("bot:@a:localhost", "bot:@b:localhost", "bot:@a:localhost!gave-up"):
        one = unit(consumer=consumer)
        one.send(ROOM, {"body": "x"})
        one.send("!other:localhost", {"body": "x"})
        ids |= {message.txn_id for message in one.messages}
    assert len(ids) == 6


def test_a_message() -> None:
    one = unit()
    reference = one.send(ROOM, {"body": "a"}, user_id="@other:localhost", event_type="m.sticker")
    (message,) = one.messages
    assert reference == UNSENT + message.txn_id == message.reference
    assert (message.kind, message.room_id, message.user_id) == (OutboxKind.EVENT, ROOM, "@other:localhost")
    assert (message.event_type, message.target) == ("m.sticker", None)
    assert content(one) == {"body": "a"}


def test_an_edit_has_a_fallback_and_the_new_content() -> None:
    """Specification, "Event replacements": relations of the new content stay out of the event itself."""
    one = unit()
    new = {"msgtype": "m.notice", "body": "b", "m.relates_to": {"m.in_reply_to": {"event_id": "$x"}}}
    one.edit(ROOM, "$original", new)
    assert content(one) == {
        "msgtype": "m.notice",
        "body": "* b",
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": "$original"},
    }
    one.edit(ROOM, "$original", {"msgtype": "m.location"})
    assert "body" not in content(one)


def test_a_reaction() -> None:
    one = unit()
    one.react(ROOM, "$x", "👍")
    assert one.messages[0].event_type == "m.reaction"
    assert content(one) == {"m.relates_to": {"rel_type": "m.annotation", "event_id": "$x", "key": "👍"}}


def test_a_redaction() -> None:
    one = unit()
    one.redact(ROOM, "$x")
    one.redact(ROOM, "$y", reason="why")
    assert [(m.kind, m.target, json.loads(m.content)) for m in one.messages] == [
        (OutboxKind.REDACTION, "$x", {}),
        (OutboxKind.REDACTION, "$y", {"reason": "why"}),
    ]


def test_state() -> None:
    one = unit()
    one.set_state(ROOM, "m.room.topic", {"topic": "t"})
    one.set_state(ROOM, "m.space.child", {}, state_key="!child:localhost")
    assert [(m.kind, m.event_type, m.target) for m in one.messages] == [
        (OutboxKind.STATE, "m.room.topic", ""),
        (OutboxKind.STATE, "m.space.child", "!child:localhost"),
    ]


def test_content_is_taken_as_it_is_at_the_call() -> None:
    one = unit()
    said = {"body": "a"}
    one.send(ROOM, said)
    said["body"] = "changed later"
    assert content(one) == {"body": "a"}


def test_lone_surrogates_are_replaced_for_no_homeserver_stores_them() -> None:
    one = unit()
    one.send(ROOM, {"body": "a\ud800b", "list": ["\udc00", "😀"]})
    assert content(one) == {"body": "a�b", "list": ["�", "😀"]}
    one.send(ROOM, {"body": "the text \\ud800 itself"})
    assert content(one) == {"body": "the text \\ud800 itself"}


def test_what_is_no_json_is_an_error_of_the_handler() -> None:
    with pytest.raises(JSONError):
        unit().send(ROOM, {"body": object()})


def test_empty_means_nothing_to_commit() -> None:
    assert unit().empty
    for act in ("send", "store", "after_commit"):
        one = unit()
        if act == "send":
            one.send(ROOM, {})
        else:
            getattr(one, act)(lambda *_: None)
        assert not one.empty, act


def test_callbacks_run_in_order_when_it_is_committed_and_not_before() -> None:
    one, called = unit(), list[int]()
    one.after_commit(lambda: called.append(1))
    one.after_commit(lambda: called.append(2))
    assert called == []
    for callback in one.callbacks:
        callback()
    assert called == [1, 2]
