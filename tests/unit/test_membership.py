"""Bots come when those invite them who may, and go when they are alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from appservice.events import Event
from appservice.homeserver import Homeserver, HomeserverError
from appservice.rooms import Rooms
from appservice.unit import UnitOfWork
from bridge.membership import Membership

BOT = "@bot:localhost"
OTHER = "@other:localhost"
STEWARD = "@_rialto:localhost"
ROOM = "!room:localhost"


class FakeHomeserver:
    """Remembers what was asked, and answers with an error where a test says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.errors: dict[str, HomeserverError] = {}

    async def request(self, method: str, path: str, *, user_id: str, body: Mapping[str, Any]) -> Any:
        verb = path.rpartition("/")[2]
        assert (method, path) == ("POST", f"/_matrix/client/v3/rooms/%21room%3Alocalhost/{verb}")
        self.asked.append((verb, user_id))
        if verb in self.errors:
            raise self.errors[verb]
        return {}


class FakeRooms:
    """Who is where."""

    def __init__(self) -> None:
        self.service_users = frozenset({BOT, OTHER, STEWARD})
        self.bots: list[str] = [BOT, OTHER]
        self.people: list[str] = []
        self.error: HomeserverError | None = None

    def bots_in(self, _room_id: str) -> Sequence[str]:
        return self.bots

    async def humans(self, _room_id: str) -> list[str]:
        if self.error is not None:
            raise self.error
        return self.people


class Place:
    """A membership consumer and its parts."""

    def __init__(self, *allowed: str) -> None:
        self.homeserver, self.rooms = FakeHomeserver(), FakeRooms()
        self.consumer = Membership(
            cast(Homeserver, self.homeserver), cast(Rooms, self.rooms), [BOT, OTHER], "localhost", allowed
        )

    async def hear(self, membership: str, user_id: str, sender: str = "@alice:localhost") -> list[tuple[str, str]]:
        """Hand it a membership, and see what it did."""
        event = Event("$a", ROOM, sender, "m.room.member", {"membership": membership}, 1, user_id)
        unit = UnitOfWork("$a", self.consumer.name, "")
        if self.consumer.wants(event):
            await self.consumer.handle(event, unit)
        assert unit.empty
        return self.homeserver.asked


@pytest.mark.parametrize(
    ("allowed", "sender", "welcome"),
    [
        ((), "@alice:localhost", True),
        ((), "@alice:elsewhere.org", False),
        (("elsewhere.org",), "@alice:elsewhere.org", True),
        (("elsewhere.org",), "@alice:elsewhere.org:8448", False),
        (("elsewhere.org:8448",), "@alice:elsewhere.org:8448", True),
        (("elsewhere.org",), "@alice:evil-elsewhere.org", False),
        (("elsewhere.org",), "@alice:localhost", True),
        (("*",), "@anyone:anywhere.example", True),
        ((), OTHER, True),
        ((), "nonsense", False),
    ],
)
async def test_who_may_invite_a_bot(allowed: tuple[str, ...], sender: str, welcome: bool) -> None:
    place = Place(*allowed)
    assert await place.hear("invite", BOT, sender) == [("join" if welcome else "leave", BOT)]


async def test_the_stewards_invitations_wait_and_people_are_not_ours() -> None:
    """Until somebody has the room adopted; until then it is not in it."""
    assert await Place("*").hear("invite", STEWARD) == []
    assert await Place("*").hear("invite", "@bob:localhost") == []


@pytest.mark.parametrize("status", [403, 404])
async def test_an_invitation_that_is_gone_is_no_failure(status: int) -> None:
    place = Place()
    place.homeserver.errors["join"] = HomeserverError(status, "M_FORBIDDEN", "withdrawn")
    assert await place.hear("invite", BOT) == [("join", BOT)]


@pytest.mark.parametrize("verb", ["join", "leave"])
@pytest.mark.parametrize("status", [0, 429, 500])
async def test_what_may_pass_is_tried_again(verb: str, status: int) -> None:
    place = Place()
    place.homeserver.errors[verb] = HomeserverError(status, "M_UNKNOWN", "later")
    with pytest.raises(HomeserverError):
        await place.hear("invite", BOT, "@alice:localhost" if verb == "join" else "@eve:elsewhere.org")


@pytest.mark.parametrize("membership", ["leave", "ban"])
async def test_bots_leave_a_room_that_nobody_else_is_in(membership: str) -> None:
    place = Place()
    assert await place.hear(membership, "@alice:localhost") == [
        ("leave", BOT),
        ("forget", BOT),
        ("leave", OTHER),
        ("forget", OTHER),
    ]


async def test_they_stay_while_somebody_is_there_or_invited() -> None:
    place = Place()
    place.rooms.people = ["@bob:localhost"]
    assert await place.hear("leave", "@alice:localhost") == []


async def test_nothing_happens_in_rooms_without_bots_or_when_bots_leave() -> None:
    place = Place()
    assert await place.hear("leave", OTHER) == []
    place.rooms.bots = []
    assert await place.hear("leave", "@alice:localhost") == []
    for membership in ("join", "knock", "invite"):
        assert await place.hear(membership, "@alice:localhost") == []


async def test_a_refused_departure_does_not_keep_the_other_bot() -> None:
    place = Place()
    place.homeserver.errors["leave"] = HomeserverError(403, "M_FORBIDDEN", "not in the room")
    assert ("leave", OTHER) in await place.hear("leave", "@alice:localhost")
    place = Place()
    place.homeserver.errors["leave"] = HomeserverError(503, "M_UNKNOWN", "later")
    with pytest.raises(HomeserverError):
        await place.hear("leave", "@alice:localhost")


async def test_members_that_cannot_be_asked_for_are_asked_for_again_or_never() -> None:
    place = Place()
    place.rooms.error = HomeserverError(403, "M_FORBIDDEN", "not in the room")
    assert await place.hear("leave", "@alice:localhost") == []
    place.rooms.error = HomeserverError(0, "UNREACHABLE", "away")
    with pytest.raises(HomeserverError):
        await place.hear("leave", "@alice:localhost")


async def test_other_events_are_not_wanted() -> None:
    consumer = Place().consumer
    for event in (
        Event("$a", ROOM, "@a:x", "m.room.message", {"membership": "invite"}, 1, BOT),
        Event("$a", ROOM, "@a:x", "m.room.member", {"membership": "invite"}, 1),
        Event("$a", ROOM, "@a:x", "m.room.member", {"membership": ["invite"]}, 1, BOT),
        Event("$a", ROOM, "@a:x", "m.room.member", {}, 1, BOT),
    ):
        assert not consumer.wants(event)


@pytest.mark.parametrize(
    ("inhabited", "people", "gone"),
    [
        (True, [], []),  # a chat with people in it, whatever the rooms know
        (False, ["@alice:localhost"], [BOT]),  # an empty chat: the steward keeps it
        (None, [], [BOT, STEWARD]),  # no chat: the rooms know
        (None, ["@alice:localhost"], []),
    ],
)
async def test_of_chats_the_read_model_knows_who_is_there(
    inhabited: bool | None, people: list[str], gone: list[str]
) -> None:
    asked: list[tuple[str, str]] = []

    async def ask(room_id: str, besides: str) -> bool | None:
        asked.append((room_id, besides))
        return inhabited

    place = Place()
    place.consumer._inhabited = ask
    place.rooms.bots, place.rooms.people = [BOT, STEWARD], people
    await place.hear("leave", "@bob:localhost", "@bob:localhost")
    assert [user_id for verb, user_id in place.homeserver.asked if verb == "leave"] == gone
    assert asked == [(ROOM, "@bob:localhost")]
