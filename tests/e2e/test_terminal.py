"""``rialto chat`` on a real homeserver, against a person who answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from appservice.local.synapse import Account
from tests.support.human import Human, Seen
from tests.support.servers import REPOSITORY, Server

HOSTILE = "\x1b[2J\x1b]0;owned\x07fine\u202e"


@asynccontextmanager
async def answering(human: Human) -> AsyncIterator[None]:
    """Joins every invitation and answers each text with "you said …"."""
    work: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    def listen(seen: Seen) -> None:
        if seen.sender != human.id and seen.msgtype == "m.text":
            work.put_nowait((seen.room_id, seen.body))

    async def answer() -> None:
        while True:
            room, text = await work.get()
            await human.say(room, f"you said {text}" if text != "hostile" else HOSTILE)

    async def join(room: str) -> None:
        await human.join(room)

    joins: list[asyncio.Task[None]] = []
    human.listeners.append(listen)
    human.invite_listeners.append(lambda room, _: joins.append(asyncio.create_task(join(room))))
    task = asyncio.create_task(answer())
    try:
        yield
    finally:
        for each in (task, *joins):
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(task, *joins)


def chat_command(server: Server, account: Account, data: Path, *more: str) -> list[str]:
    """The command line of a chat of ``account``."""
    return [
        *(sys.executable, "-m", "appservice", "chat", "--data", str(data)),
        *("--homeserver", server.url, "--as", account.user_id, *more),
    ]


async def chat(server: Server, account: Account, data: Path, script: str, *more: str) -> tuple[int, str, str]:
    """Play a script through a chat; exit code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *chat_command(server, account, data, *more),
        cwd=REPOSITORY,
        env={**os.environ, "RIALTO_PASSWORD": account.password},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(script.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_a_script_gets_its_replies_twice_in_the_same_room(synapse: Server, bob: Human, tmp_path: Path) -> None:
    account = await synapse.new_account("scripted")
    async with answering(bob):
        code, out, err = await chat(synapse, account, tmp_path, "one\n# nothing\ntwo\n", bob.id)
        assert (code, err) == (0, "")
        lines = [line.partition(": ")[2] for line in out.splitlines() if "you said" in line]
        assert lines == ["you said one", "you said two"]
        rooms = set(bob.rooms)
        code, out, err = await chat(synapse, account, tmp_path, "three", bob.id)
        assert (code, err) == (0, "")
        assert "you said three" in out
        assert "you said two" not in out
    assert set(bob.rooms) == rooms, "the second conversation opened another room"
    assert all(bob.rooms[room].encrypted for room in rooms)


async def test_a_device_that_was_ended_elsewhere_is_replaced(synapse: Server, bob: Human, tmp_path: Path) -> None:
    account = await synapse.new_account("forgetful")
    async with answering(bob):
        assert (await chat(synapse, account, tmp_path, "one\n", bob.id))[0] == 0
        (session,) = tmp_path.rglob("session.json")
        assert stat.S_IMODE(session.stat().st_mode) == 0o600
        before = json.loads(session.read_text())["login"]
        async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {before['access_token']}"}) as http:
            (await http.post(f"{synapse.url}/_matrix/client/v3/logout", json={})).raise_for_status()
        code, out, err = await chat(synapse, account, tmp_path, "two\n", bob.id)
    assert (code, err) == (0, "")
    assert "you said two" in out
    assert json.loads(session.read_text())["login"]["device_id"] != before["device_id"]


async def test_escape_sequences_of_others_do_not_reach_the_terminal(
    synapse: Server, bob: Human, tmp_path: Path
) -> None:
    account = await synapse.new_account("careful")
    async with answering(bob):
        code, out, _ = await chat(synapse, account, tmp_path, "hostile\n", bob.id)
    assert code == 0
    assert "fine" in out
    assert not {"\x1b", "\x07", "\u202e"} & set(out)


async def test_images_commands_and_invitations_of_strangers(synapse: Server, bob: Human, tmp_path: Path) -> None:
    account = await synapse.new_account("painter")
    image = tmp_path / "dot.png"
    image.write_bytes(b"\x89PNG and more")
    other = await bob.create_room("a trap")
    await bob.invite(other, account.user_id)
    async with answering(bob):
        seen = bob.expect(None, sender=account.user_id, predicate=lambda seen: seen.msgtype == "m.image", timeout=60)
        script = f"hello\n/image {image}\n/image {tmp_path / 'none.png'}\n/rooms\n/what\n"
        code, out, _ = await chat(synapse, account, tmp_path / "data", script, bob.id, "--reply", "3")
        assert await bob.download((await seen).content) == image.read_bytes()
    assert f"{bob.id} invites you: /join {other}" in out
    assert account.user_id not in await bob.members(other)
    assert "No such file" in out
    assert "encrypted" in out
    assert "/quit  leave" in out
    assert code == 1, "nobody answered the image"


async def test_a_line_without_a_reply_fails(synapse: Server, bob: Human, tmp_path: Path) -> None:
    account = await synapse.new_account("lonely")
    room_ready = asyncio.create_task(bob.expect_invite(account.user_id, timeout=40))
    play = asyncio.create_task(chat(synapse, account, tmp_path, "anybody?\n", bob.id, "--reply", "3"))
    await bob.join(await room_ready)
    code, out, _ = await play
    assert code == 1
    assert "no reply within 3 s" in out


async def test_nobody_there(synapse: Server, tmp_path: Path) -> None:
    account = await synapse.new_account("early")
    code, _, err = await chat(
        synapse, account, tmp_path, "hello\n", f"@nobody_at_all:{synapse.server_name}", "--reply", "1"
    )
    assert code == 1
    assert err.startswith("rialto: @nobody_at_all")
    assert "Traceback" not in err


async def test_an_unreachable_homeserver_is_exit_code_3(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appservice", "chat", "--data", str(tmp_path)),
        *("--homeserver", "http://127.0.0.1:9", "--as", "@a:localhost", "@b:localhost"),
        cwd=REPOSITORY,
        env={**os.environ, "RIALTO_PASSWORD": "x"},
        stdin=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    assert process.returncode == 3
    assert err.decode().startswith("rialto: cannot reach http://127.0.0.1:9")


async def test_a_person_at_a_terminal(synapse: Server, bob: Human, tmp_path: Path) -> None:
    account = await synapse.new_account("typist")
    master, slave = pty.openpty()
    async with answering(bob):
        process = await asyncio.create_subprocess_exec(
            *chat_command(synapse, account, tmp_path, bob.id),
            cwd=REPOSITORY,
            env={**os.environ, "RIALTO_PASSWORD": account.password, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        try:
            screen = Screen(master)
            await screen.until("typist_")
            await screen.until("> ")
            os.write(master, b"good day\n")
            await screen.until("you said good day")
            os.write(master, b"/rooms\n")
            await screen.until("encrypted")
            os.write(master, b"/quit\n")
            async with asyncio.timeout(20):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(master)


class Screen:
    """What a program wrote to its terminal."""

    def __init__(self, master: int) -> None:
        self._master = master
        self._text = ""

    async def until(self, wanted: str, timeout: float = 40) -> None:
        """Read until ``wanted`` has been written; it counts once."""
        os.set_blocking(self._master, False)
        try:
            async with asyncio.timeout(timeout):
                while wanted not in self._text:
                    with contextlib.suppress(BlockingIOError):
                        self._text += os.read(self._master, 65536).decode(errors="replace")
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"{wanted!r} never came; the screen:\n{self._text}") from None
        self._text = self._text.partition(wanted)[2]
