"""People of a second homeserver, who never saw Rialto, come into an encrypted group by its link, read and write there.

Both homeservers are real and federate by TLS. Rialto is at the first alone, and runs in the test's own process.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import pytest
from aiohttp import ClientSession, CookieJar

from appservice.config import Config
from appservice.config.loader import load_config
from appservice.local.files import free_port
from appservice.main import Rialto, build
from appservice.terminal.client import ClientError
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.domain.privacy import Audience
from bridge.messenger import Messenger
from bridge.store.chats import Chat
from tests.support.federation import federated_synapses
from tests.support.human import Human
from tests.support.servers import RialtoProcess, Server

pytestmark = pytest.mark.timeout(180)
CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
CLIENT = "/_matrix/client/v3"
MODULE = {"when_away": "deny"}
"""Of the first homeserver: while Rialto does not answer nobody invites anybody."""


@dataclass
class World:
    """A homeserver with Rialto, another one without, and their people."""

    home: Server
    abroad: Server
    config: Config
    hub: str
    folder: Path
    stack: AsyncExitStack
    rialto: Rialto = field(init=False)
    runs: bool = False

    async def start(self) -> None:
        """Start Rialto."""
        self.rialto, self.runs = build(self.config), True
        await self.rialto.start()

    async def stop(self) -> None:
        """Stop it; nothing happens when it does not run."""
        if self.runs:
            self.runs = False
            await self.rialto.stop()

    @property
    def messenger(self) -> Messenger:
        return self.rialto.messenger

    async def at_home(self, name: str) -> Human:
        return await self._human(self.home, name)

    async def from_abroad(self, name: str) -> Human:
        return await self._human(self.abroad, name)

    async def _human(self, server: Server, name: str) -> Human:
        human = await server.human(name, self.folder / secrets.token_hex(4))
        self.stack.push_async_callback(human.close)
        return human

    async def group(self, owner: Human, name: str) -> Chat:
        chat = await self.messenger.chats.create(Actor.person(owner.id), Kind.GROUP, name=name, key=name)
        await comes_in(owner, chat)
        return chat


@pytest.fixture(scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder = tmp_path_factory.mktemp("federation")
    address = f"127.0.0.1:{free_port()}"
    web = {"enabled": True, "listen": address, "public_url": f"http://{address}"}
    async with federated_synapses(folder, 1, 0, module=MODULE) as (home, abroad), AsyncExitStack() as stack:
        process = RialtoProcess(home, home.take_slot(), folder / "rialto", ("hub",), overrides={"web": web})
        made = World(home, abroad, load_config(process.config_path), process.bot("hub"), folder, stack)
        stack.push_async_callback(made.stop)
        await made.start()
        yield made


async def comes_in(human: Human, chat: Chat) -> None:
    """Accept the invitation into a chat."""
    await human.until(lambda: chat.room_id in human.nio.invited_rooms, what="an invitation")
    await joins(human, chat.room_id)
    await human.until(lambda: human.rooms[chat.room_id].encrypted, what="encryption")


async def joins(human: Human, room_id: str) -> None:
    """Join, as somebody does who presses once more.

    Synapse shows an invitation before both homeservers have it in the room's state: who joins in that moment is told
    that they are not invited, or, having knocked, that there are two answers to what they are.
    """

    async def joined() -> bool:
        try:
            await human.join(room_id)
        except ClientError as error:
            if "duplicate auth_events" not in str(error) and "not invited" not in str(error):
                raise
            return False
        return True

    await until(joined, "joining")


async def until(condition: Callable[[], Awaitable[object]], what: str, timeout: float = 20) -> None:
    deadline = time.monotonic() + timeout
    while not await condition():
        assert time.monotonic() < deadline, f"did not happen in {timeout:g} s: {what}"
        await asyncio.sleep(0.1)


async def everybody_sees(chat: Chat, *humans: Human) -> None:
    """Wait until each of these has all of them in the room, so that each encrypts for all."""
    names = {human.id for human in humans}
    for human in humans:
        await human.until(lambda human=human: names <= set(human.rooms[chat.room_id].users), what="the others")  # type: ignore[misc]


async def heard_by_all(chat: Chat, speaker: Human, text: str, *others: Human) -> None:
    """Somebody writes an encrypted message, which all the others read."""
    heard = [other.expect(chat.room_id, sender=speaker.id) for other in others]
    await speaker.say(chat.room_id, text)
    for seen in await asyncio.gather(*heard):
        assert (seen.body, seen.encrypted) == (text, True)


async def named_on_the_page(url: str, person: str) -> str:
    """Use a link as a browser does: the page is looked at, and its form is sent. What it says then."""
    async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as browser:
        async with browser.get(url) as response:
            form = CSRF.search(await response.text())
        assert form is not None
        data = {"csrf": form[1], "action": "join", "person": person}
        async with browser.post(url, data=data) as response:
            return await response.text()


async def knock(human: Human, chat: Chat, via: Server, reason: str) -> None:
    path = f"{CLIENT}/knock/{quote(chat.room_id)}?server_name={quote(via.server_name)}"
    await human.request("POST", path, body={"reason": reason})


async def test_people_of_another_homeserver_come_by_a_link_read_and_write(world: World) -> None:
    links = world.messenger.links
    alice, bob = await world.at_home("alice"), await world.at_home("bob")
    carol, dave, erin = [await world.from_abroad(name) for name in ("carol", "dave", "erin")]
    owner = Actor.person(alice.id)
    chat = await world.group(alice, "Tea")
    link = await links.create(owner, chat)
    await links.redeem(bob.id, link.token)
    await comes_in(bob, chat)

    # By the page, where anybody may have named her.
    assert "You are invited" in await named_on_the_page(links.url(link), carol.id)
    await comes_in(carol, chat)
    await everybody_sees(chat, alice, bob, carol)
    await heard_by_all(chat, alice, "The kettle is on", bob, carol)
    await heard_by_all(chat, carol, "I bring biscuits", alice, bob)

    # By knocking with the code, and by knocking without it.
    await knock(dave, chat, world.home, f"Let me in: {link.token}")
    await comes_in(dave, chat)
    await knock(erin, chat, world.home, "It is me")

    async def asked() -> bool:
        return [(each.user_id, each.reason) for each in await links.requests(owner, chat)] == [(erin.id, "It is me")]

    await until(asked, "the request of who knocks without a code")
    await links.answer(owner, chat, erin.id, True)
    await comes_in(erin, chat)
    await everybody_sees(chat, alice, bob, carol, dave, erin)
    await heard_by_all(chat, dave, "Milk or lemon?", alice, bob, carol, erin)

    async def counted() -> bool:
        return await world.messenger.members.count(chat) == 5

    await until(counted, "all five in the list of members")

    for server in (world.home, world.abroad):
        written = server.everything_written()
        assert chat.room_id.encode() in written
        for secret in (b"The kettle is on", b"I bring biscuits", b"Milk or lemon?"):
            assert secret not in written

    # What a timer removes is removed at the other homeserver too.
    await world.messenger.timers.set(owner, chat, 5)
    gone = carol.expect(chat.room_id, sender=world.messenger.steward.user_id, type="m.room.redaction")
    said = await alice.say(chat.room_id, "This goes")
    assert (await gone).redacts == said


async def test_invitations_of_another_homeserver_are_screened(world: World) -> None:
    privacy = world.messenger.privacy
    alice, bob = await world.at_home("alice"), await world.at_home("bob")
    carol = await world.from_abroad("carol")
    await privacy.change(alice.id, write=Audience.CONTACTS, add=Audience.NOBODY)

    group = await carol.create_room("Strangers", encrypted=False)
    with pytest.raises(ClientError, match="do not take this"):
        await carol.invite(group, alice.id)
    await carol.invite(group, bob.id)  # who takes everybody's
    assert await bob.expect_invite(carol.id) == group

    talk = await carol.create_room(encrypted=False, direct=True)
    with pytest.raises(ClientError, match="have been asked"):
        await carol.invite(talk, alice.id)
    [request] = await privacy.requests(alice.id)
    assert (request.other, request.what.value) == (carol.id, "write")
    await privacy.answer_request(alice.id, request.id, True)
    await joins(carol, await carol.expect_invite(world.hub))  # she hears of it from who never saw her before
    await carol.invite(talk, alice.id)
    assert await alice.expect_invite(carol.id) == talk
    assert group not in alice.nio.invited_rooms

    await privacy.block(alice.id, carol.id)
    again = await carol.create_room(encrypted=False, direct=True)
    with pytest.raises(ClientError, match="do not take this"):
        await carol.invite(again, alice.id)
    assert await privacy.requests(alice.id) == []


async def test_while_rialto_is_away_nobody_invites_where_that_is_denied(world: World) -> None:
    alice, bob = await world.at_home("alice"), await world.at_home("bob")
    carol = await world.from_abroad("carol")
    home, abroad = await alice.create_room("Home", encrypted=False), await carol.create_room("Abroad", encrypted=False)
    await alice.invite(home, bob.id)
    assert await bob.expect_invite(alice.id) == home
    await bob.join(home)

    await world.stop()
    second = await alice.create_room("Second", encrypted=False)
    with pytest.raises(ClientError, match="cannot be done at the moment"):
        await alice.invite(second, bob.id)
    with pytest.raises(ClientError, match="cannot be done at the moment"):
        await carol.invite(abroad, bob.id)
    heard = bob.expect(home, sender=alice.id)
    await alice.say(home, "People write all the same")
    await heard
    assert set(bob.nio.invited_rooms) == set()

    await world.start()
    await alice.invite(second, bob.id)
    await carol.invite(abroad, bob.id)
    await bob.until(lambda: {second, abroad} <= set(bob.nio.invited_rooms), what="both invitations")
