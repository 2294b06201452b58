"""Address books: where people have things brought to. Sealed; the same for every bot that sells."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from bots.commerce.hand import Hand, Reader
from bots.commerce.records import place_in, place_out
from bots.commerce.trade import Trade
from bots.domain.errors import DomainError
from bots.domain.places import Place
from bots.store import addresses as sql
from bots.store.addresses import AddressRow

__all__ = ["MESSAGES", "Address", "AddressBook", "AddressRefused"]

PLACE: Final = "addresses"
ADDRESSES_MAX: Final = 30
NAME_MAX: Final = 40
HINT_MAX: Final = 200

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "address.name": "A name has 1 to {most} characters.",
        "address.hint": "A hint has at most {most} characters.",
        "address.taken": "You have an address called “{name}” already.",
        "address.many": "You have {most} addresses: remove one first.",
        "address.gone": "This address is not there any more.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class AddressRefused(DomainError):
    """Something that an address book cannot do."""

    messages = MESSAGES


@dataclass(frozen=True, slots=True)
class Address:
    """One address.

    Attributes:
        name: as the person calls it.
        hint: for who brings it: "third floor, ring twice".
        usual: whether it is offered first.
        person: whose it is.
    """

    id: str
    name: str
    place: Place
    hint: str = ""
    usual: bool = False
    person: str = ""

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > NAME_MAX:
            raise AddressRefused("address.name", most=NAME_MAX)
        if len(self.hint) > HINT_MAX:
            raise AddressRefused("address.hint", most=HINT_MAX)


class AddressBook:
    """One for a plugin; what lies in it belongs to the person."""

    def __init__(self, trade: Trade) -> None:
        self._trade = trade

    async def list(self, reader: Reader, person: str) -> list[Address]:
        """A person's addresses: the usual one, then the oldest first."""
        rows = await reader.query(lambda connection: sql.of_person(connection, person))
        return [self._address(row) for row in rows]

    async def find(self, reader: Reader, person: str, text: str) -> Address | None:
        """An address by its name, whatever the case, or its number in :meth:`list`."""
        found = await self.list(reader, person)
        wanted = _folded(text)
        named = next((each for each in found if _folded(each.name) == wanted), None)
        if named is None and wanted.isdecimal() and 1 <= int(wanted[:4]) <= len(found):
            return found[int(wanted[:4]) - 1]
        return named

    async def add(
        self, hand: Hand, person: str, name: str, place: Place, *, hint: str = "", usual: bool = False
    ) -> Address:
        """Keep an address; the first one is the usual one.

        Raises:
            AddressRefused: there is one of this name, or there are too many. In the commit TradeBusy: there is by now.
        """
        known = await self.list(hand, person)
        address = Address(self._trade.new_id(), name.strip(), place, hint.strip(), usual or not known, person)
        if any(_folded(each.name) == _folded(address.name) for each in known):
            raise AddressRefused("address.taken", name=address.name)
        if len(known) >= ADDRESSES_MAX:
            raise AddressRefused("address.many", most=ADDRESSES_MAX)
        row = self._row(address, hand.now_ms())
        hand.store(lambda connection: sql.add(connection, row))
        if address.usual and known:
            await self.make_usual(hand, address)
        return address

    async def change(self, hand: Hand, address: Address) -> None:
        """Write an address with another name, place or hint.

        Raises:
            AddressRefused: it is gone, or there is another of this name.
        """
        rows = await hand.query(lambda connection: sql.of_person(connection, address.person))
        before = next((row for row in rows if row.id == address.id), None)
        if before is None:
            raise AddressRefused("address.gone")
        written = replace(address, name=address.name.strip(), hint=address.hint.strip())
        after = replace(self._row(written, before.created_at), version=before.version, usual=before.usual)
        if any(row.name == after.name and row.id != address.id for row in rows):
            raise AddressRefused("address.taken", name=written.name)
        hand.store(lambda connection: sql.change(connection, before, after))

    async def rename(self, hand: Hand, address: Address, name: str) -> Address:
        """Give an address another name. Raises AddressRefused: there is one of it."""
        after = replace(address, name=name.strip())
        await self.change(hand, after)
        return after

    async def make_usual(self, hand: Hand, address: Address) -> None:
        """Offer an address first."""
        hand.store(lambda connection: sql.make_usual(connection, address.person, address.id))

    def drop(self, hand: Hand, address: Address) -> None:
        """Forget an address."""
        hand.store(lambda connection: sql.drop(connection, address.person, address.id))

    def _row(self, address: Address, at: int) -> AddressRow:
        held = {"name": address.name, "place": place_out(address.place), "hint": address.hint}
        sealed = self._trade.seal(PLACE, address.id, held)
        digest = self._trade.digest("address", address.person, _folded(address.name))
        return AddressRow(address.id, address.person, digest, int(address.usual), sealed, at)

    def _address(self, row: AddressRow) -> Address:
        held = self._trade.open(PLACE, row.id, row.sealed)
        place = place_in(held["place"])
        assert place is not None, "an address has a place"
        return Address(row.id, held["name"], place, held["hint"], bool(row.usual), row.person)


def _folded(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
