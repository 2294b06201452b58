"""Who may do what with a person, hidden messages, and what the homeserver's module is told: the pure part."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.hidden import hidden_media, hidden_text, is_hidden
from bridge.domain.privacy import Answer, Audience, Relation, Settings, What, allowed, rule, screen
from bridge.privacy.rules import rules_of
from bridge.store.privacy import Said

audiences = st.sampled_from(list(Audience))
settings = st.builds(
    Settings,
    write=audiences,
    add=audiences,
    call=audiences,
    presence=audiences,
    last_seen=audiences,
    receipts=st.sampled_from([Audience.EVERYBODY, Audience.NOBODY]),
)
whats = st.sampled_from(list(What))
relations = st.builds(
    Relation,
    contact=st.booleans(),
    blocked=st.booleans(),
    exceptions=st.dictionaries(whats, st.booleans(), max_size=3),
)


@pytest.mark.parametrize(
    ("audience", "contact", "may"),
    [
        ("everybody", False, True),
        ("everybody", True, True),
        ("contacts", False, False),
        ("contacts", True, True),
        ("nobody", False, False),
        ("nobody", True, False),
    ],
)
def test_who_may(audience: str, contact: bool, may: bool) -> None:
    assert allowed(Settings(write=Audience(audience)), Relation(contact=contact), What.WRITE) is may


@given(settings, relations, whats)
def test_a_block_goes_before_everything(found: Settings, relation: Relation, what: What) -> None:
    blocked = Relation(relation.contact, True, relation.exceptions)
    assert not allowed(found, blocked, what)
    assert screen(found, blocked, what, declined=False) is Answer.REFUSE


@given(settings, relations, whats, st.booleans())
def test_an_exception_holds_whatever_the_settings_say(
    found: Settings, relation: Relation, what: What, may: bool
) -> None:
    relation = Relation(relation.contact, False, {**relation.exceptions, what: may})
    assert allowed(found, relation, what) is may


@given(settings, relations, whats, st.booleans())
def test_what_is_allowed_is_never_asked_and_what_is_asked_was_not_allowed(
    found: Settings, relation: Relation, what: What, declined: bool
) -> None:
    answer = screen(found, relation, what, declined=declined)
    assert (answer is Answer.ALLOW) is allowed(found, relation, what)
    if answer is Answer.ASK:
        assert what in {What.WRITE, What.ADD} and not declined
        assert found.of(what) is Audience.CONTACTS


@given(settings, st.dictionaries(st.sampled_from(["@a:x", "@b:x", "@c:x"]), relations))
def test_the_module_decides_as_we_do(found: Settings, known: dict[str, Relation]) -> None:
    told = rules_of(Said(found, known))
    for person in ("@a:x", "@b:x", "@c:x", "@stranger:x"):
        for what in (What.PRESENCE, What.LAST_SEEN):
            # As rialto_synapse._may_see does.
            may = told.get(what.value, True)
            may = not may if person in told.get(f"{what.value}_except", ()) else may
            assert may is allowed(found, known.get(person, Relation()), what)
    assert (told.get("receipts") is False) is (found.receipts is Audience.NOBODY)


def test_who_has_set_nothing_is_not_told_of() -> None:
    assert rules_of(Said(Settings(), {"@a:x": Relation(contact=True)})) == {}


def test_a_block_alone_makes_an_exception() -> None:
    assert rule(Settings(), What.PRESENCE, [("@a:x", Relation(blocked=True))]) == (True, ["@a:x"])


def test_receipts_are_for_all_or_none() -> None:
    with pytest.raises(ValueError, match="receipts"):
        Settings(receipts=Audience.CONTACTS)


@pytest.mark.parametrize("values", [{"writing": "nobody"}, {"write": "friends"}, {"receipts": "contacts"}])
def test_settings_that_are_none(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Settings().changed(values)


@given(st.text(max_size=50), st.text(max_size=20))
def test_hidden_text_stands_in_the_spoiler_alone(text: str, reason: str) -> None:
    content = hidden_text(text, reason)
    assert is_hidden(content)
    assert content["body"] == f"[{reason or 'hidden'}]"
    assert content["formatted_body"].startswith("<span data-mx-spoiler")
    inner = content["formatted_body"].partition(">")[2]
    assert "<" not in inner.replace("<br>", "").removesuffix("</span>")


def test_hidden_media_has_no_small_picture_and_leaves_the_original() -> None:
    content = {
        "msgtype": "m.image",
        "body": "a.png",
        "url": "mxc://a/b",
        "info": {"w": 1, "xyz.amorgan.blurhash": "L00000"},
    }
    hidden = hidden_media(content, "the end of the film")
    assert hidden["info"] == {"w": 1}
    assert is_hidden(hidden)
    assert not is_hidden(content)
    assert "xyz.amorgan.blurhash" in content["info"]
    with pytest.raises(ValueError, match="media"):
        hidden_media({"msgtype": "m.text", "body": "x"})
