"""Rules of moderation that need no database: patterns of policy lists, states, floods."""

from __future__ import annotations

import re
import time
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.floods import Window, closed
from bridge.domain.moderation import (
    NEEDS,
    Action,
    AppealState,
    AppealStep,
    Impossible,
    State,
    Step,
    advance,
    advance_appeal,
    possible,
    target_of,
)
from bridge.domain.policies import TYPES, Kind, Rule, Rules, is_pattern, matches, spares, without_port

LETTERS = st.text("ab.", max_size=12)
PATTERNS = st.text("ab.*?", max_size=12)


def as_regex(pattern: str) -> str:
    return "".join({"*": ".*", "?": "."}.get(each, re.escape(each)) for each in pattern)


@given(PATTERNS, LETTERS)
def test_patterns_are_globs(pattern: str, text: str) -> None:
    assert matches(pattern, text) == (re.fullmatch(as_regex(pattern), text, re.DOTALL) is not None)


@given(LETTERS)
def test_what_is_no_pattern_matches_itself_alone(text: str) -> None:
    assert not is_pattern(text)
    assert matches(text, text) and not matches(text, text + "a")


def test_a_hostile_pattern_takes_no_time() -> None:
    began = time.monotonic()
    assert not matches("*a" * 126 + "b", "a" * 255)
    assert time.monotonic() - began < 0.5


@pytest.mark.parametrize(
    ("event_type", "content"),
    [
        ("m.policy.rule.user", {}),
        ("m.policy.rule.user", {"entity": "@x:y", "recommendation": "m.allow"}),
        ("m.policy.rule.user", {"entity": "", "recommendation": "m.ban"}),
        ("m.policy.rule.user", {"entity": "@" + "x" * 255, "recommendation": "m.ban"}),
        ("m.policy.rule.user", {"entity": "@a\0:y", "recommendation": "m.ban"}),
        ("m.policy.rule.user", {"entity": 3, "recommendation": "m.ban"}),
        ("m.policy.rule.user", {"entity": "@x:y", "recommendation": ["m.ban"]}),
        ("m.room.name", {"entity": "@x:y", "recommendation": "m.ban"}),
    ],
)
def test_what_is_no_rule_is_not_followed(event_type: str, content: dict[str, object]) -> None:
    assert Rule.parse(event_type, content) is None


def test_older_types_are_rules_too() -> None:
    assert set(TYPES.values()) == set(Kind)
    rule = Rule.parse("org.matrix.mjolnir.rule.server", {"entity": "*.bad", "recommendation": "org.matrix.mjolnir.ban"})
    assert rule == Rule(Kind.SERVER, "*.bad") and rule is not None
    assert Rule.parse(Kind.SERVER.type, rule.content) == rule


def test_rules_of_users_and_servers() -> None:
    rules = Rules(
        [
            Rule(Kind.USER, "@spam:a.example"),
            Rule(Kind.USER, "@bot-*:*"),
            Rule(Kind.SERVER, "*.Bad.example"),
            Rule(Kind.SERVER, "worse.example"),
            Rule(Kind.ROOM, "#*:bad.example"),
        ]
    )
    assert len(rules) == len(list(rules)) == 5
    wanted = {
        "@spam:a.example": True,
        "@spam:b.example": False,
        "@bot-1:b.example": True,
        "@me:x.bad.example:8448": True,
        "@me:bad.example": False,
        "@me:WORSE.example:1": True,
        "@me:good.example": False,
    }
    assert {user: rules.about_user(user) is not None for user in wanted} == wanted
    assert rules.about_room("#x:bad.example") and not rules.about_room("!x:bad.example")
    assert without_port("[::1]:8448") == "[::1]"


def test_no_list_bans_our_own() -> None:
    def spared(kind: Kind, entity: str) -> bool:
        return spares(Rule(kind, entity), "world", ["@mo:world", "@_rialto:world"])

    assert not spared(Kind.SERVER, "w*")
    assert not spared(Kind.SERVER, "world")
    assert not spared(Kind.USER, "*")
    assert not spared(Kind.USER, "@*:world")
    assert not spared(Kind.USER, "@mo:world")
    assert not spared(Kind.USER, "@_rialt?:world")
    assert spared(Kind.USER, "@spam*:world")
    assert spared(Kind.USER, "@alice:world")
    assert spared(Kind.SERVER, "*.bad.example")


def test_states_are_tables() -> None:
    assert advance(advance(State.OPEN, Step.DECIDE), Step.FAIL) is State.OPEN
    assert advance(State.ACTING, Step.FINISH) is State.DONE
    impossible = [(state, step) for state, step in product(State, Step) if state is State.DONE]
    for state, step in [*impossible, (State.OPEN, Step.FINISH)]:
        with pytest.raises(Impossible):
            advance(state, step)
    assert advance_appeal(advance_appeal(AppealState.OPEN, AppealStep.GRANT), AppealStep.FINISH) is AppealState.GRANTED
    for over in (AppealState.GRANTED, AppealState.REFUSED):
        for appeal_step in AppealStep:
            with pytest.raises(Impossible):
                advance_appeal(over, appeal_step)


def test_what_can_be_done_about_what() -> None:
    assert set(NEEDS) == set(Action)
    nothing = {action for action in Action if possible(action, chat=False, event=False, local=False)}
    assert nothing == {Action.DISMISS, Action.WARN}
    assert not possible(Action.REMOVE, chat=False, event=True, local=True)
    assert all(possible(action, chat=True, event=True, local=True) for action in Action)


def test_a_message_is_one_target_whoever_is_named() -> None:
    assert target_of("!r", "$e", "@a:b") == target_of("!r", "$e", "")
    assert target_of("!r", "", "@a:b") != target_of("", "", "@a:b")


@given(st.lists(st.integers(0, 300), max_size=60).map(sorted), st.integers(1, 5))
def test_a_window_counts_what_is_in_it(times: list[int], most: int) -> None:
    window = Window(most, 100)
    for place, now in enumerate(times):
        within = sum(1 for each in times[: place + 1] if each > now - 100)
        assert window.add("x", now) == (within > most)


def test_a_window_forgets_names_when_there_are_too_many() -> None:
    window = Window(1, 1_000, capacity=2)
    assert [window.add(name, 0) for name in ("a", "b", "c", "b")] == [False, False, False, True]
    assert not window.add("a", 0)
    assert window.over("a", 1) and not window.over("a", 2_000)
    window.forget("b")
    assert not window.over("b", 0)


def test_a_chat_is_closed_step_by_step() -> None:
    once = closed({"join_rule": "public"})
    assert once == {"join_rule": "knock"}
    assert closed(once) == {"join_rule": "invite"}
    assert closed({"join_rule": "invite"}) is None and closed({}) is None
    allow = [{"type": "m.room_membership", "room_id": "!x:y"}]
    assert closed({"join_rule": "knock_restricted", "allow": allow}) == {"join_rule": "restricted", "allow": allow}
