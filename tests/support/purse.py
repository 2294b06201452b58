"""A person's money on the real stack: their encrypted chat with the wallet, and the page that play money comes from."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urljoin

import aiohttp

from appservice.local.files import free_port
from appservice.local.yaml import to_yaml
from tests.support.human import Human, Seen
from tests.support.servers import RialtoProcess

PLUGINS: Final = Path(__file__).parent / "plugins"
LINK: Final = re.compile(r"https?://\S+/pages/\S+")
CODE: Final = re.compile(r"type this code here: (\d{6})\b")
HIDDEN: Final = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
PATIENCE: Final = 60.0


def with_money(port: int | None = None) -> dict[str, Any]:
    """Sections of the configuration: pages on the loopback interface, play money, the tests' own plugins."""
    listen = f"127.0.0.1:{port or free_port()}"
    return {
        "web": {"enabled": True, "listen": listen, "public_url": f"http://{listen}"},
        "payments": {"providers": {"sandbox": {"enabled": True}}},
        "plugins": {"folders": [str(PLUGINS)]},
    }


def granted(service: RialtoProcess, plugin: str, *scopes: str) -> None:
    """Grant a plugin scopes, before the service starts."""
    for bot in service.config["bots"]:
        if bot["plugin"] == plugin:
            bot["scopes"] = list(scopes)
    service.config_path.write_text(to_yaml(service.config))


async def nothing() -> None:
    """Nothing happens."""


@dataclass
class Purse:
    """What a person does with their money. ``after``: happens after each thing that they do."""

    human: Human
    wallet: str
    room: str
    after: Callable[[], Awaitable[None]] = nothing

    @classmethod
    async def open(cls, human: Human, wallet: str) -> Self:
        """Open a chat with the wallet, and the wallet."""
        room = await human.create_room(None, encrypted=True, direct=True)
        greeted = human.expect(room, sender=wallet, contains="Hello", timeout=PATIENCE)
        await human.invite(room, wallet)
        await greeted
        purse = cls(human, wallet, room)
        opened, balance = purse.hears("Your wallet is open"), purse.hears("You have")
        await human.say(room, "balance")
        await opened
        await balance
        return purse

    def hears(self, contains: str) -> Any:
        """Listen for a message of the wallet, from now on."""
        return self.human.expect(self.room, sender=self.wallet, contains=contains, timeout=PATIENCE)

    async def says(self, text: str, contains: str) -> Seen:
        """Say something, and wait for the answer that holds something."""
        answer = self.hears(contains)
        await self.human.say(self.room, text)
        await self.after()
        seen: Seen = await answer
        return seen

    async def confirms(self, asked: Seen, contains: str) -> Seen:
        """Type the code that a message shows."""
        found = CODE.search(asked.body)
        assert found is not None, asked.body
        return await self.says(found[1], contains)

    async def tops_up(self, amount: str, ending: str = "success") -> None:
        """Bring play money in, and wait until it is there."""
        page = await self.asks_for_page(amount)
        came = self.hears("has come in")
        await finish_page(page, ending)
        await self.after()
        await came

    async def sets_pin(self, pin: str) -> None:
        """Choose a PIN on its page."""
        found = LINK.search((await self.says("pin", "/pages/")).body)
        assert found is not None
        told = self.hears("PIN")
        await fill_page(found[0], new=pin, again=pin, action="set")
        await self.after()
        await told

    async def approves(self, asked: Seen, pin: str) -> None:
        """Confirm by PIN, on the page that a message links to."""
        found = LINK.search(asked.body)
        assert found is not None, asked.body
        await fill_page(found[0], pin=pin, action="approve")
        await self.after()

    async def asks_for_page(self, amount: str) -> str:
        """The address of the page on which a top-up ends."""
        found = LINK.search((await self.says(f"top up {amount}", "Bring in")).body)
        assert found is not None
        return found[0]

    async def balance(self) -> str:
        """What the wallet says that there is."""
        return (await self.says("balance", "You have")).body.splitlines()[-1]


async def finish_page(url: str, ending: str) -> None:
    """Choose on the page of play money how it ends, as a browser would."""
    await fill_page(url, ending=ending)


async def fill_page(url: str, **fields: str) -> str:
    """Fill a page's form in and send it, as a browser would; the page that follows."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(url) as answer:
            assert answer.status == 200, await answer.text()
            hidden = dict(HIDDEN.findall(await answer.text()))
        assert hidden, "the page has no form"
        headers = {"Origin": urljoin(url, "/").rstrip("/"), "Sec-Fetch-Site": "same-origin"}
        async with session.post(url, data={**hidden, **fields}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.text()
