"""A world with the bills bot and the real wallet."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from bots.bills import Bills
from bots.bills.book import Book
from bots.domain.money import Money
from bots.framework.testing import Message, Person, Room
from bots.framework.testing.world import BOT_SERVER, PICKLE_KEY
from bots.payments.merchants import Merchants
from tests.support.money import WALLET, MoneyWorld, code_in

BILLS: Final = f"@bills:{BOT_SERVER}"


class BillsWorld(MoneyWorld):
    """The bills bot is what people talk with here; the wallet is where they confirm."""

    def __init__(
        self, settings: Mapping[str, Any] | None = None, services: Mapping[type, Any] | None = None, **given: Any
    ) -> None:
        def more(world: MoneyWorld) -> Mapping[type, Any]:
            return {Merchants: Merchants(world.bank), Book: Book(PICKLE_KEY), **(services or {})}

        # Codes throughout: the PIN is the wallet's affair.
        given.setdefault("money", {"pin_above": {"EUR": "500.00"}})
        super().__init__(Bills, more=more, settings=settings, **given)

    async def chat(self, person: Person) -> Room:
        """A person's chat with the bills bot."""
        return await self.direct(person, BILLS)

    async def says(self, person: Person, *texts: str | int) -> list[str]:
        """A person says something to the bills bot; what it answers to the last."""
        room = await self.chat(person)
        for text in texts:
            await person.hears_all(room)
            await person.says(str(text), room=room)
        return await self.hears(person)

    async def hears(self, person: Person) -> list[str]:
        """What the bills bot has said to a person since."""
        return [message.body for message in await person.hears_all(await self.chat(person))]

    async def begins(self, name: str, money: str = "500") -> Person:
        """A person with money, who has met the bot."""
        person = await self.opened(name, money)
        await person.hears_all(await self.chat(person))
        return person

    async def confirms(self, person: Person) -> list[Message]:
        """A person types the code that the wallet has shown; what the wallet says then."""
        room = await self.direct(person, WALLET)
        shown = await person.hears_all(room)
        await person.says(code_in(*shown), room=room)
        return await person.hears_all(room)

    async def shown(self, person: Person, last: int | str, biller: str = "1") -> list[str]:
        """A person looks the bill of an account at the first electricity biller up."""
        said = await self.says(person, "pay")
        if said[-1].startswith("Which one?"):
            await self.says(person, "Another one")
        return await self.says(person, "Electricity", biller, f"2041587{last}")

    async def biller_has(self, biller: str = "example-power") -> Money:
        """What a biller was paid."""
        from bots.domain.ledger import AccountKind

        return (await self.ledger.account(f"bot:bills/{biller}", "EUR", AccountKind.MERCHANT)).available


def receipt_in(texts: list[str]) -> str:
    """The receipt number that was told."""
    found = re.findall(r"Receipt number: (\S+)", "\n".join(texts))
    assert len(found) == 1, texts
    return str(found[0])


def amount_in(card: str) -> Money:
    """What a bill asks for."""
    found = re.search(r"To pay: €([0-9.]+)", card)
    assert found is not None, card
    return Money.of(found.group(1), "EUR")
