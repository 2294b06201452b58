"""The example plugins on a real Synapse, in encrypted rooms, each person with matrix-nio, and killed in the middle."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import aiohttp

from appservice.local.files import free_port, write_private
from appservice.local.yaml import to_yaml
from bots.framework.content import POLL_RESPONSE, POLL_START, parse_poll, poll_response
from tests.e2e.test_bots import picture, record
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human, Seen
from tests.support.servers import RialtoProcess

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SECRET = "the secret of the website's form"


async def serving(rialto: StartRialto, plugin: str, **more: Any) -> RialtoProcess:
    """Rialto with one of the examples, found in their folder. ``more``: of the bot's entry in the configuration."""
    overrides: dict[str, Any] = {"plugins": {"folders": [str(EXAMPLES)]}}
    if "settings" in more:
        overrides["web"] = {"enabled": True, "listen": f"127.0.0.1:{free_port()}"}
    service = await rialto((plugin,), overrides=overrides, start=False)
    service.config["bots"][0] |= more
    write_private(service.config_path, to_yaml(service.config))
    await service.start()
    return service


async def chat(human: Human, bot: str) -> str:
    """An encrypted chat with a bot that has greeted."""
    room = await human.create_room(None, encrypted=True, direct=True)
    greeted = human.expect(room, sender=bot, contains="Hello")
    await human.invite(room, bot)
    assert (await greeted).encrypted
    return room


async def group(host: Human, bot: str, *others: Human) -> str:
    """An encrypted room with a bot, which has greeted, and some people."""
    room = await host.create_room("group", encrypted=True)
    for human in others:
        await host.invite(room, human.id)
        await human.join(room)
    greeted = host.expect(room, sender=bot, contains="Hello")
    await host.invite(room, bot)
    await greeted
    return room


async def test_reminders(rialto: StartRialto, alice: Human) -> None:
    service = await serving(rialto, "reminders")
    bot = service.bot("reminders")
    room = await chat(alice, bot)
    assert "Europe/Berlin" in (await alice.ask(room, "zone Berlin", of=bot)).body
    assert "1. take" in (await alice.ask(room, "remind me every monday at 8 to take the bins out", of=bot)).body
    heard = record(alice, room, bot)
    comes = alice.expect(room, sender=bot, contains="⏰ stretch", timeout=60)
    assert "2. stretch" in (await alice.ask(room, "remind me in 5 seconds to stretch", of=bot)).body
    await service.restart(kill=True)
    reminder = await comes
    assert reminder.encrypted
    assert reminder.msgtype == "m.text"
    assert reminder.content["m.mentions"] == {"user_ids": [alice.id]}
    put_off = alice.expect(room, sender=bot, contains="Put off: stretch")
    await alice.react(room, reminder.event_id, "⏰")
    await put_off
    relation = {"m.relates_to": {"m.in_reply_to": {"event_id": reminder.event_id}}}
    again = alice.expect(room, sender=bot, contains="Put off: stretch")
    await alice.say(room, "tomorrow at 9", **relation)
    assert "9:00" in (await again).body
    lines = (await alice.ask(room, "list", of=bot)).body.splitlines()
    assert sorted(line[:2] for line in lines) == ["1.", "2."]
    assert "Cancelled" in (await alice.ask(room, "cancel 2", of=bot)).body
    assert sum(seen.body.startswith("⏰ stretch") for seen in heard) == 1


async def test_lunch_picker(rialto: StartRialto, alice: Human, bob: Human) -> None:
    service = await serving(rialto, "lunch-picker")
    bot = service.bot("lunch-picker")
    room = await group(alice, bot, bob)
    assert "Added" in (await alice.ask(room, "!lunch add Soup, Pizza", of=bot)).body
    asked = alice.expect(room, sender=bot, type=POLL_START)
    await alice.say(room, "!lunch")
    start = await asked
    assert start.encrypted
    poll = parse_poll(start.content)
    assert poll is not None
    ids = {answer.text: answer.id for answer in poll.answers}
    await alice.send(room, POLL_RESPONSE, poll_response(start.event_id, [ids["Soup"]]))
    await alice.send(room, POLL_RESPONSE, poll_response(start.event_id, [ids["Pizza"]]))
    await service.restart(kill=True)
    result = bob.expect(room, sender=bot, contains="Today", timeout=40)
    await bob.say(room, "pizza")
    assert (await result).body == "Today it is Pizza. (Pizza 2)"
    # Alice's client may show the result only now: not the next message, but the one that lists.
    places = alice.expect(room, sender=bot, contains="Our places")
    await alice.say(room, "!lunch places")
    assert "Pizza – 1×" in (await places).body


def thread(root: Seen) -> dict[str, Any]:
    """What puts a message into a thread."""
    relation = {"rel_type": "m.thread", "event_id": root.event_id, "is_falling_back": True}
    return {"m.relates_to": {**relation, "m.in_reply_to": {"event_id": root.event_id}}}


async def call(service: RialtoProcess, bot: str, name: str, payload: Mapping[str, Any]) -> int:
    """Call a webhook as another service does; the status."""
    body, now = json.dumps(payload).encode(), str(int(time.time()))
    signature = hmac.new(SECRET.encode(), f"{now}.".encode() + body, sha256).hexdigest()
    headers = {"X-Rialto-Signature": f"t={now},v1={signature}", "Content-Type": "application/json"}
    url = f"http://{service.config['web']['listen']}/hooks/{bot[1:].partition(':')[0]}/{name}"
    async with aiohttp.ClientSession() as session, session.post(url, data=body, headers=headers) as answer:
        return answer.status


async def test_support_desk(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> None:
    dave = await new_human("dave")
    staff = await dave.create_room("staff", encrypted=True)
    await dave.invite(staff, bob.id)
    await bob.join(staff)
    settings = {"room": staff, "secret": SECRET}
    service = await serving(rialto, "support-desk", settings=settings, scopes=["rooms.create"])
    bot = service.bot("support-desk")
    welcome = dave.expect(staff, sender=bot, contains="Each case is a thread")
    await dave.invite(staff, bot)
    await welcome
    room = await chat(alice, bot)

    assert "What is it about?" in (await alice.ask(room, "My order has not come.", of=bot)).body
    assert "more to say" in (await alice.ask(room, "1", of=bot)).body
    data = picture()
    more = alice.expect(room, sender=bot, contains="Go on")
    await alice.send_image(room, data)
    await more
    opened = dave.expect(staff, sender=bot, contains="#1 An order")
    photo = dave.expect(staff, sender=bot, predicate=lambda seen: seen.msgtype == "m.image")
    assert "case #1" in (await alice.ask(room, "done", of=bot)).body
    root, image = await opened, await photo
    assert root.encrypted
    assert image.relation["event_id"] == root.event_id
    assert await dave.download(image.content) == data

    heard = record(alice, room, bot)
    relayed = alice.expect(room, sender=bot, body="On its way.", timeout=40)
    said = await dave.say(staff, "On its way.", **thread(root))
    await service.restart(kill=True)
    answer = await relayed
    assert dave.id not in str(answer.content)
    second = alice.expect(room, sender=bot, body="By tomorrow.")
    await bob.say(staff, "By tomorrow.", **thread(root))
    await second
    edited = alice.expect(room, sender=bot, predicate=lambda seen: seen.replaces == answer.event_id)
    await dave.edit(staff, said, "It is on its way.")
    assert (await edited).body == "It is on its way."
    thanks = dave.expect(staff, sender=bot, body="Thank you!")
    await alice.say(room, "Thank you!")
    assert (await thanks).relation["event_id"] == root.event_id

    told = alice.expect(room, sender=bot, body="Your parcel was sent.")
    assert await call(service, bot, "news", {"text": "Your parcel was sent.", "case": 1, "person": True}) == 202
    await told
    form = {"name": "Zoe", "topic": "A payment", "text": "Paid twice", "contact": "zoe@example.org"}
    second_case = dave.expect(staff, sender=bot, contains="#2 A payment")
    assert await call(service, bot, "case", form) == 202
    await second_case

    over = alice.expect(room, sender=bot, contains="closed")
    await dave.say(staff, "!close", **thread(root))
    await over
    bodies = [seen.body for seen in heard if seen.replaces is None]
    assert bodies[:3] == ["On its way.", "By tomorrow.", "Your parcel was sent."]
    assert len(bodies) == 4
