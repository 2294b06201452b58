"""Invite links: their codes and when they end. And links that any client opens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.channels.discussions import with_door, without_door
from bridge.domain.links import LENGTH, Codes, Ended, Link
from bridge.domain.permalinks import permalink

CODES = Codes(b"k" * 32)
OTHERS = Codes(b"o" * 32)
IDS = st.text(alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=26, max_size=26)


@given(IDS)
def test_a_code_is_read_however_it_is_written(link_id: str) -> None:
    code = CODES.of(link_id)
    assert len(code) == LENGTH
    parts = "-".join(code[start : start + 6] for start in range(0, LENGTH, 6))
    for written in (code, code.upper(), parts, f"  {parts.upper()} ", code.replace("1", "l").replace("0", "O")):
        assert CODES.read(written) == code


@given(IDS, st.integers(0, LENGTH - 1), st.sampled_from("0123456789abcdefghjkmnpqrstvwxyz"))
def test_a_code_that_was_not_made_here_is_none(link_id: str, place: int, other: str) -> None:
    code = CODES.of(link_id)
    assert OTHERS.read(code) is None
    changed = code[:place] + other + code[place + 1 :]
    assert (CODES.read(changed) is None) == (changed != code)
    assert CODES.read(code[:-1]) is None
    assert CODES.read(code + "0") is None


@given(st.text(max_size=200))
def test_any_text_is_read_without_harm(text: str) -> None:
    assert CODES.read(text) is None
    assert CODES.find(text) is None


@given(IDS, st.text(alphabet="abc xyz.,\n", max_size=30), st.text(alphabet="abc xyz.,\n", max_size=30))
def test_a_code_is_found_in_what_somebody_writes(link_id: str, before: str, after: str) -> None:
    code = CODES.of(link_id)
    assert CODES.find(f"{before} {code} {after}") == code
    assert CODES.find(f"{before} <https://pages.example.org/join/{code}?x=1#y>, {after}") == code
    assert CODES.find(f"{before} “{code.upper()}”. {after}") == code


def test_codes_of_different_links_differ() -> None:
    made = {CODES.of(f"{number:026d}") for number in range(1_000)}
    assert len(made) == 1_000


@pytest.mark.parametrize(
    ("changes", "ended"),
    [
        ({}, None),
        ({"expires_at": 1_000}, Ended.EXPIRED),
        ({"expires_at": 1_001}, None),
        ({"uses": 2, "used": 1}, None),
        ({"uses": 2, "used": 2}, Ended.USED_UP),
        ({"revoked_at": 5, "expires_at": 1, "uses": 1, "used": 1}, Ended.REVOKED),
        ({"expires_at": 1, "uses": 1, "used": 1}, Ended.EXPIRED),
    ],
)
def test_a_link_ends(changes: dict[str, int], ended: Ended | None) -> None:
    assert Link("L", "C", "@a:b", 0, **changes).ended(1_000) is ended  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "link"),
    [
        (("!abc:example.org",), "https://matrix.to/#/!abc:example.org"),
        (("#tea room:example.org",), "https://matrix.to/#/#tea%20room:example.org"),
        (("!abc:e", "$x/y?z"), "https://matrix.to/#/!abc:e/$x%2Fy%3Fz"),
    ],
)
def test_a_permalink(arguments: tuple[str, ...], link: str) -> None:
    assert permalink(*arguments) == link
    assert permalink(*arguments, via=["a.org", "b.org:8448"]) == f"{link}?via=a.org&via=b.org%3A8448"


DOOR = {"type": "m.room_membership", "room_id": "!c"}
OTHER = {"type": "m.room_membership", "room_id": "!other"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"join_rule": "knock"}, {"join_rule": "knock_restricted", "allow": [DOOR]}),
        (
            {"join_rule": "knock_restricted", "allow": [OTHER]},
            {"join_rule": "knock_restricted", "allow": [OTHER, DOOR]},
        ),
        ({"join_rule": "restricted", "allow": [OTHER]}, {"join_rule": "restricted", "allow": [OTHER, DOOR]}),
    ],
)
def test_a_group_opens_to_the_readers_of_its_channel_and_closes(before: dict[str, object], after: object) -> None:
    opened = with_door(before, "!c")
    assert opened == after
    assert opened is not None
    assert with_door(opened, "!c") is None
    assert without_door(opened, "!c") == before
    assert without_door(before, "!c") is None


@pytest.mark.parametrize("rules", [{"join_rule": "public"}, {"join_rule": "invite"}, {}, {"join_rule": 3, "allow": 4}])
def test_a_group_that_is_open_or_by_invitation_stays_so(rules: dict[str, object]) -> None:
    assert with_door(rules, "!c") is None
    assert without_door(rules, "!c") is None
