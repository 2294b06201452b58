"""Reports, appeals, policy lists and people's rights with a real homeserver, real clients and real encryption."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sqlite3
import sys
import time
import zipfile
from asyncio.subprocess import PIPE
from contextlib import closing
from typing import Any

import aiohttp
import pytest

from appservice.terminal.client import ClientError
from tests.support.fixtures import NewHuman, StartRialto
from tests.support.human import Human
from tests.support.servers import REPOSITORY, RialtoProcess
from tests.support.service_process import free_port

pytestmark = pytest.mark.timeout(300)
CSRF = re.compile('name="csrf" value="([0-9a-f]{64})"')
LINK = re.compile(r"http://127\.0\.0\.1:\d+/appeal/\S+")


async def joined(human: Human, sender: str | None = None) -> str:
    """Take the invitation that waits."""
    room_id = await human.expect_invite(sender)
    await human.join(room_id)
    await human.until(lambda: room_id in human.rooms, what="the room")
    return room_id


async def group(owner: Human, own: str, hub: str, *others: Human) -> str:
    """A group called Tea."""
    people = " ".join(other.id for other in others)
    await owner.ask(own, "new group", of=hub)
    await owner.ask(own, "Tea", of=hub)
    await owner.ask(own, people, of=hub)
    room_id = await joined(owner)
    for other in others:
        assert await joined(other) == room_id
    await owner.until(lambda: bool(owner.rooms[room_id].encrypted), what="encryption")
    return room_id


async def test_from_a_flag_to_an_appeal(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> None:
    mo, mia = await new_human("mo"), await new_human("mia")
    url = f"http://127.0.0.1:{free_port()}"
    process = await rialto(
        bots=("hub",),
        overrides={
            "messenger": {"moderation": {"moderators": [mo.id, mia.id], "client_reports_every": 1}},
            "web": {"enabled": True, "listen": url.removeprefix("http://"), "public_url": url},
        },
    )
    hub = process.bot("hub")
    queue = await joined(mo, hub)
    await mo.until(lambda: bool(mo.rooms[queue].encrypted), what="encryption")
    own, bobs = await alice.chat_with(hub), await bob.chat_with(hub)
    mos, mias = await mo.chat_with(hub), await mia.chat_with(hub)
    tea = await group(alice, own, hub, bob)
    await bob.ask(bobs, "help", of=hub)  # where he talks with it he is told

    # Two taps, in an encrypted chat that only the two read.
    insult = await bob.say(tea, "a dreadful insult")
    asked = alice.expect(own, sender=hub, contains="You report a message. Why?")
    told = mo.expect(queue, sender=hub, contains=f"{bob.id}, in “Tea”, by {alice.id}")
    gone = bob.expect(tea, type="m.room.redaction")
    await alice.react(tea, insult, "🚩")
    await gone
    await asked
    report = re.search(r"Report ([0-9A-Z]{6})", (await told).body)
    assert report is not None
    more = mo.expect(queue, sender=hub, contains="he wrote something dreadful")
    await alice.ask(own, "Insults or harassment", of=hub)
    await alice.ask(own, "he wrote something dreadful", of=hub)
    await more

    # The moderator suspends the account, with a word.
    await mo.ask(mos, f"reports {report[1]}", of=hub)
    await mo.ask(mos, "Suspend the account", of=hub)
    heard = bob.expect(bobs, sender=hub, contains="Moderators have suspended your account")
    thanked = alice.expect(own, sender=hub, contains="done something about it")
    done = mo.expect(queue, sender=hub, contains=f"Report {report[1]} is done")
    await mo.ask(mos, "Enough of that.", of=hub)
    sentence = (await heard).body
    assert "Enough of that." in sentence
    await thanked
    await done
    with pytest.raises(ClientError):
        await bob.say(bobs, "but why?")

    # Who can write to nobody is heard by a page.
    link = LINK.search(sentence)
    assert link is not None
    appeal = mo.expect(queue, sender=hub, contains="It was a quotation.")
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as browser:
        async with browser.get(link[0]) as response:
            found = CSRF.search(await response.text())
        assert found is not None
        form = {"csrf": found[1], "action": "appeal", "why": "It was a quotation."}
        async with browser.post(link[0], data=form) as response:
            assert response.status == 200
    await appeal
    reply = await mia.ask(mias, "appeals", of=hub)
    assert report[1] in reply.body
    await mia.ask(mias, "Undo the decision", of=hub)
    granted = bob.expect(bobs, sender=hub, contains="Your appeal was granted")
    await mia.ask(mias, "We were wrong.", of=hub)
    assert "We were wrong." in (await granted).body
    await bob.say(tea, "thank you")

    # A client's own report, of a chat that Rialto is in.
    other = await bob.say(tea, "another one")
    told = mo.expect(queue, sender=hub, contains="spam, says the client", timeout=30)
    path = f"/_matrix/client/v3/rooms/{tea}/report/{other}"
    await alice.request("POST", path, body={"reason": "spam, says the client"})
    assert alice.id in (await told).body
    metrics = await process.metrics()
    assert 'rialto_reports_total{source="client"} 1.0' in metrics and "rialto_reports_open 1.0" in metrics

    # Nothing of what was said or written about it stands there to be read.
    written = process.everything_written()
    for words in (b"a dreadful insult", b"he wrote something dreadful", b"It was a quotation.", b"Enough of that."):
        assert words not in written


async def test_a_policy_list_is_followed(rialto: StartRialto, alice: Human, bob: Human, new_human: NewHuman) -> None:
    lister = await new_human("lister")
    answer = await lister.request(
        "POST", "/_matrix/client/v3/createRoom", body={"preset": "public_chat", "name": "Spammers"}
    )
    policies = str(answer["room_id"])
    process = await rialto(bots=("hub",), overrides={"messenger": {"moderation": {"policy_lists": [policies]}}})
    hub = process.bot("hub")
    own = await alice.chat_with(hub)
    tea = await group(alice, own, hub, bob)
    rule = {"entity": f"{bob.id[:5]}*:*", "recommendation": "m.ban", "reason": "spam"}
    path = f"/_matrix/client/v3/rooms/{policies}/state/m.policy.rule.user/one"

    steward = process.server.user_id(process.slot.sender_localpart)
    deadline = time.monotonic() + 30
    while steward not in await lister.members(policies):
        assert time.monotonic() < deadline, "the steward did not come to the list"
        await asyncio.sleep(0.2)
    banned = alice.expect_member(tea, bob.id, "ban", timeout=30)
    await lister.request("PUT", path, body=rule)
    await banned
    with pytest.raises(ClientError):
        await bob.join(tea)
    lifted = alice.expect_member(tea, bob.id, "leave", timeout=30)
    await lister.request("PUT", path, body={})
    await lifted


def rows_with(process: RialtoProcess, *words: str) -> dict[str, int]:
    """In how many rows of which tables one of these words stands, in both databases."""
    found: dict[str, int] = {}
    for file in process.folder.glob("*.db"):
        with closing(sqlite3.connect(file, timeout=20)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type='table'").fetchall()
            for (table,) in tables:
                for row in connection.execute(f'SELECT * FROM "{table}"'):
                    if any(word in repr(row) for word in words):
                        found[table] = found.get(table, 0) + 1
    return found


async def test_a_copy_and_to_be_forgotten(rialto: StartRialto, alice: Human, bob: Human) -> None:
    process = await rialto(bots=("hub",))
    hub = process.bot("hub")
    own, bobs = await alice.chat_with(hub), await bob.chat_with(hub)
    tea = await group(bob, bobs, hub, alice)
    said = await alice.say(tea, "what alice said")
    mxc = await alice.upload(b"a file of hers", "text/plain")
    assert (await alice.download_mxc(mxc)) == b"a file of hers"

    file = alice.expect(own, sender=hub, predicate=lambda seen: seen.msgtype == "m.file", timeout=60)
    await alice.say(own, "export my data")
    with zipfile.ZipFile(io.BytesIO(await alice.download((await file).content))) as archive:
        names = archive.namelist()
        memberships: Any = json.loads(archive.read("chats/memberships.json"))
        devices: Any = json.loads(archive.read("homeserver/devices.json"))
    assert tea in {each["room_id"] for each in memberships}
    assert alice.device_id in {each["device_id"] for each in devices}
    assert {"keys/devices.json", "bots/answers.json", "audit/entries.json"} <= set(names)

    assert rows_with(process, alice.id)
    await alice.ask(own, "erase my data", of=hub)
    await alice.ask(own, "yes", of=hub)
    left = bob.expect_member(tea, alice.id, "leave", timeout=60)
    redacted = bob.expect(tea, type="m.room.redaction", predicate=lambda seen: True, timeout=60)
    assert "Farewell" in (await alice.ask(own, "erase", of=hub)).body
    await redacted
    await left
    deadline = time.monotonic() + 60
    while True:
        with closing(sqlite3.connect(process.folder / "rialto.db", timeout=20)) as connection:
            (state,) = connection.execute("SELECT state FROM rights_requests WHERE kind='erase'").fetchone()
        if state == "sweeping":
            break
        assert time.monotonic() < deadline, state
        await asyncio.sleep(0.5)
    event = await bob.request("GET", f"/_matrix/client/v3/rooms/{tea}/event/{said}")
    assert "redacted_because" in event["unsigned"] and not event["content"]
    async with aiohttp.ClientSession() as session:
        body = {
            "type": "m.login.password",
            "identifier": {"type": "m.id.user", "user": alice.id},
            "password": alice.password,
        }
        async with session.post(f"{alice.url}/_matrix/client/v3/login", json=body) as response:
            assert response.status == 403
    with pytest.raises(ClientError):
        await bob.download_mxc(mxc)

    # What the homeserver tells of late is swept away; it is not waited for here.
    await process.stop()
    with closing(sqlite3.connect(process.folder / "rialto.db", timeout=20)) as connection:
        connection.execute("UPDATE rights_requests SET due_at=0 WHERE kind='erase'")
        connection.commit()
    await process.start()
    deadline = time.monotonic() + 60
    while rows_with(process, alice.id, alice.device_id):
        assert time.monotonic() < deadline, rows_with(process, alice.id, alice.device_id)
        await asyncio.sleep(0.5)
    assert rows_with(process, bob.id)

    # The same by an operator, while no service runs.
    await bob.say(tea, "Farewell")
    await process.stop()
    code, answer = await people(process, "export", bob.id, "-o", str(process.folder / "bob.zip"))
    assert (code, answer["person"]) == (0, bob.id)
    with zipfile.ZipFile(process.folder / "bob.zip") as archive:
        names = archive.namelist()
    assert {"homeserver/account.json", "chats/memberships.json", "keys/devices.json"} <= set(names)
    (process.folder / "bob.zip").unlink()
    code, answer = await people(process, "erase", bob.id, "--yes")
    assert (code, answer["erased"], answer["problems"]) == (0, True, [])
    assert not rows_with(process, bob.id, bob.device_id)
    async with aiohttp.ClientSession() as session:
        body |= {"identifier": {"type": "m.id.user", "user": bob.id}, "password": bob.password}
        async with session.post(f"{bob.url}/_matrix/client/v3/login", json=body) as response:
            assert response.status == 403


async def people(process: RialtoProcess, *arguments: str) -> tuple[int, dict[str, Any]]:
    """``rialto people``: the exit code, and what it answers."""
    command = (sys.executable, "-m", "appservice.cli", "people", *arguments, "--json", "-c", str(process.config_path))
    child = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=PIPE, cwd=REPOSITORY)
    out, err = await child.communicate()
    assert out, err.decode()
    return child.returncode or 0, json.loads(out)
