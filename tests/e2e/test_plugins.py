"""Plugins in the running service, on a real Synapse: broken ones are left out, operators switch the others."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.fixtures import StartRialto
from tests.support.human import Human
from tests.support.servers import RialtoProcess

MOODY = '''
from bots.framework import Context, Plugin, command

class Moody(Plugin):
    """Answers, or fails."""
    @command("fine", help="Say something")
    async def fine(self, ctx: Context) -> None:
        ctx.say("all is fine")
    @command("fail", help="Fail")
    async def fail(self, ctx: Context) -> None:
        raise ValueError
'''


async def command(service: RialtoProcess, *arguments: str) -> str:
    """``rialto …`` in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "appservice.cli", *arguments, "-c", str(service.config_path),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return out.decode()


async def answer(alice: Human, room: str, text: str, bot: str) -> str:
    """What the bot says to a text."""
    return (await alice.ask(room, text, of=bot)).body


async def test_broken_plugins_are_left_out_and_the_others_serve(
    rialto: StartRialto, alice: Human, tmp_path: Path
) -> None:
    (tmp_path / "moody.py").write_text(MOODY)
    (tmp_path / "broken.py").write_text("x = 1\ndef oops(:\n")
    (tmp_path / "hangs.py").write_text(
        "import asyncio\nfrom bots.framework import Plugin\nclass Hangs(Plugin):\n"
        "    async def start(self) -> None:\n        await asyncio.sleep(3600)\n"
    )
    overrides: dict[str, Any] = {
        "plugins": {"folders": [str(tmp_path)], "start_timeout": 0.5, "failures": 1, "pause": 2},
        "engine": {"attempts": 2, "backoff": 0.01},
    }
    service = await rialto(("echo", "moody", "broken", "hangs"), overrides=overrides)
    async with aiohttp.ClientSession() as session, session.get(f"{service.health}/metrics") as response:
        metrics = await response.text()
    assert "rialto_plugin_problems 3.0" in metrics  # broken twice: the file, and who wants it
    log = service.log.read_text()
    assert f"{tmp_path / 'broken.py'}:2: plugin broken: cannot be imported" in log
    assert "plugin hangs: did not start within 0.5 s" in log

    echo, moody = service.bot("echo"), service.bot("moody")
    chat = await alice.chat_with(moody)
    assert await answer(alice, chat, "fine", moody) == "all is fine"
    assert "cannot answer" in await answer(alice, chat, "fail", moody)
    other = await alice.chat_with(echo)
    assert await answer(alice, other, "hello", echo) == "hello"
    await asyncio.sleep(2)  # the pause itself is what is tried
    assert await answer(alice, chat, "fine", moody) == "all is fine"

    assert "disabled: everywhere" in await command(service, "plugin", "disable", "moody")
    await asyncio.sleep(3)  # within a few seconds
    silence = alice.expect(chat, sender=moody)
    await alice.say(chat, "fine")
    assert await answer(alice, other, "still there", echo) == "still there"
    await silence.never(0.5)
    await command(service, "plugin", "enable", "moody")
    await asyncio.sleep(3)
    assert await answer(alice, chat, "fine", moody) == "all is fine"
