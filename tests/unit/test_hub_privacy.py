"""Privacy, contacts, blocking, requests and notices by talking with the hub."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from appservice.events import InternalEvent
from bots.framework.i18n import Catalogues
from bots.hub import Hub, notices
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.privacy import Answer, Audience
from bridge.errors import NotAllowed
from tests.support.hub import HubWorld, Talk


@pytest.fixture
async def world() -> AsyncIterator[HubWorld]:
    async with HubWorld() as found:
        yield found


@pytest.fixture
async def alice(world: HubWorld) -> Talk:
    return await world.talk(world.person("alice"))


async def tell(world: HubWorld, person: str, code: str, **values: object) -> None:
    events: list[InternalEvent] = world.messenger.notices.event(f"test {code}", person, code, values)
    await world.raise_events(lambda _connection: events)
    await world.settle()


async def test_settings_are_shown_and_changed(world: HubWorld, alice: Talk) -> None:
    said = await alice.says("privacy")
    assert "Who may write to you first – everybody" in said
    assert "Who sees what you have read – everybody" in said
    assert "my contacts" in await alice.says("1")
    assert "Who may write to you first: my contacts." in await alice.says("my contacts")
    assert (await world.messenger.privacy.settings("@alice:world")).write is Audience.CONTACTS
    await alice.says("privacy")
    question = await alice.says("Who sees what you have read")
    assert "contacts" not in question
    await alice.says("nobody")
    assert (await world.messenger.privacy.settings("@alice:world")).receipts is Audience.NOBODY


async def test_what_holds_for_one_person(world: HubWorld, alice: Talk) -> None:
    await alice.says("privacy")
    assert "Whom?" in await alice.says("For one person in particular")
    await alice.says("@bob")
    await alice.says("Who may call you")
    assert "Noted for @bob:world" in await alice.says("Not allowed")
    assert not await world.messenger.privacy.may("@bob:world", "@alice:world", "call")
    assert await world.messenger.privacy.may("@carol:world", "@alice:world", "call")


async def test_blocking(world: HubWorld, alice: Talk) -> None:
    assert "You block nobody" in await alice.says("blocked")
    assert "is blocked, and is not told" in await alice.says("block @bob")
    assert "• @bob:world" in await alice.says("blocked")
    with pytest.raises(NotAllowed):
        await world.chats.create(Actor.person("@bob:world"), Kind.DIRECT, name="", members=["@alice:world"], key="1")
    assert "not blocked any more" in await alice.says("unblock @bob")
    assert "cannot block yourself" in await alice.says("block @alice")


async def test_contacts(world: HubWorld, alice: Talk) -> None:
    assert "no contacts yet" in await alice.says("contacts")
    assert "one of your contacts" in await alice.says("contact add @bob")
    assert "• @bob:world" in await alice.says("contacts")
    assert "none of your contacts" in await alice.says("contact remove @bob")
    assert "Whom?" in await alice.says("contact add")


async def test_a_request_is_put_as_a_question(world: HubWorld, alice: Talk) -> None:
    await world.messenger.privacy.change("@alice:world", write="contacts")
    assert await world.messenger.privacy.ask("@bob:world", "@alice:world", "write") is Answer.ASK
    await world.settle()
    (question,) = alice.hears()
    assert "@bob:world would like to write to you." in question
    assert "Accepted" in await alice.says("Accept")
    assert await world.messenger.privacy.may("@bob:world", "@alice:world", "write")
    assert "Nobody waits" in await alice.says("requests")


async def test_requests_are_answered_one_after_the_other(world: HubWorld, alice: Talk) -> None:
    await world.messenger.privacy.change("@alice:world", write="contacts", add="contacts")
    await world.messenger.privacy.screen_invite("@bob:world", "@alice:world", "!a:world", direct=False, name="Tea")
    await world.settle()
    assert "@bob:world would like to add you to “Tea”." in "".join(alice.hears())
    await alice.says("cancel")
    assert "“Tea”" in await alice.says("requests")
    assert "is blocked" in await alice.says("Decline and block")
    assert not await world.messenger.privacy.may("@bob:world", "@alice:world", "write")


async def test_devices_need_the_operators_token(alice: Talk) -> None:
    assert "homeserver.admin_token" in await alice.says("devices")


async def test_a_notice_is_told_once_in_the_persons_own_chat(world: HubWorld, alice: Talk) -> None:
    for _ in range(2):
        await tell(world, "@alice:world", "chat.muted", chat="Tea", until=world.clock.now_ms())
    (said,) = alice.hears()
    assert said.startswith("You cannot write in “Tea” until ")


async def test_who_never_wrote_is_told_too(world: HubWorld) -> None:
    world.person("bob")
    await tell(world, "@bob:world", "chat.unmuted", chat="Tea")
    room = next(each for each in world.homeserver.rooms.values() if each.membership("@bob:world") == "invite")
    assert "rialto: You can write in “Tea” again." in room.bodies()


async def test_a_notice_is_in_the_persons_language(world: HubWorld, alice: Talk) -> None:
    await alice.says("language de")
    alice.hears()
    await tell(world, "@alice:world", "chat.unmuted", chat="Tea")
    assert alice.hears() != ["You can write in “Tea” again."]


def test_areas_do_not_take_each_others_names() -> None:
    """They are one class in the end: of two methods of one name one would never be called."""
    owners: dict[str, str] = {}
    for area in Hub.__mro__:
        if area.__module__.startswith("bots.hub") and area is not Hub:
            for name in vars(area):
                if not name.startswith("__"):
                    assert owners.setdefault(name, area.__name__) == area.__name__, name


async def test_a_code_without_words_says_nothing(world: HubWorld, alice: Talk) -> None:
    await tell(world, "@alice:world", "no.such.code")
    assert alice.hears() == []


@pytest.mark.parametrize("code", sorted(notices.MESSAGES))
def test_every_notice_can_be_said(code: str) -> None:
    """Whatever values are missing or odd: nobody is left without the notice."""
    translator = Catalogues().translator("en")
    assert notices.sentence(code, {}, translator)
    odd = dict.fromkeys(("chat", "person", "role", "reason"), "x\n" * 500)
    said = notices.sentence(code, {**odd, "until": 2**62, "seconds": -1}, translator)
    assert "x\nx" not in said
