"""A world with money: the real ledger, guard, payments, funding and their bots, on a database in memory."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, cast

import sqlalchemy as sa
from sqlalchemy import Connection

from appservice.config.money import DEFAULT_TIERS, Tier
from appservice.config.money import Payments as MoneySection
from appservice.config.money import Rates as RatesSection
from appservice.database import DatabaseError
from appservice.events import InternalEvent
from appservice.sealing import Sealer
from bots.domain.ledger import AccountKind, Transfer
from bots.domain.money import Money
from bots.domain.payments import Payment
from bots.framework.http import HttpClient
from bots.framework.testing import Person, World
from bots.framework.testing.homeserver import Message, Room
from bots.framework.testing.world import BOT_SERVER, PICKLE_KEY, PluginType
from bots.pages import Links
from bots.payments.deadlines import Deadlines
from bots.payments.funding import Funding
from bots.payments.funding_books import Books
from bots.payments.guard import Guard
from bots.payments.ledger import Ledger
from bots.payments.pins import Pins, telling
from bots.payments.providers.bank import BankAccount, BankProvider
from bots.payments.providers.base import Provider
from bots.payments.providers.sandbox import SandboxProvider
from bots.payments.rates import Rates
from bots.payments.receipts import Receipts
from bots.payments.sanctions import NoSanctions
from bots.payments.service import Payments
from bots.payments.settings import PaymentSettings, settings_of
from bots.payments.statements import Statements
from bots.payments.till import Till
from bots.store.funding_tables import funding_top_ups
from bots.wallet import Wallet
from bots.wallet.means import SharedRooms
from bots.wallet.payees import Bot, Registry
from bridge.audit import Audit

WALLET: Final = f"@wallet:{BOT_SERVER}"
CODE: Final = re.compile(r"\b(\d{6})\b")
RATES: Final = {"EUR/USD": "1.10"}


class MoneyWorld(World):
    """A world whose bots are handed the real services of money. The wallet is its first bot.

    Everything is made anew when the service starts again, as in production: what is not in the database is lost.
    """

    def __init__(
        self,
        *others: PluginType,
        money: Mapping[str, Any] | None = None,
        more: Callable[[MoneyWorld], Mapping[type, Any]] | None = None,
        rates: Literal["fixed", "none"] = "fixed",
        bank: bool = False,
        **given: Any,
    ) -> None:
        """
        Args:
            others: bots beside the wallet.
            money: what the section ``payments`` of the configuration says.
            more: further services, made at each start of the service.
            rates: where exchange rates come from.
            bank: offer bank transfers, beside the sandbox.
        """
        super().__init__(Wallet, *others, **given)
        pins = {"EUR": "50.00", "USD": "50.00"}
        section: dict[str, Any] = {
            "currencies": ("EUR", "USD"),
            "tiers": (GENEROUS, *DEFAULT_TIERS),
            "pin_above": pins,
        }
        self.section = MoneySection(**{**section, **(money or {})})
        settings, wrong = settings_of(self.section)
        assert settings is not None, wrong
        self.settings: PaymentSettings = settings
        self._more = more
        self._rates = rates
        self._bank = bank
        self._entropy = random.Random(7)
        self.links_made: list[str] = []
        self._looked_at = (0, 0)

    # The services

    def build(self) -> Mapping[type, Any]:
        """What the composition makes at a start."""
        database, clock, settings = self.database, self.clock, self.settings
        sealer = Sealer(PICKLE_KEY, "payments")
        self.ledger = Ledger(database, clock, randomness=self._bytes)
        self.guard = Guard.of(self.section)
        self.audit = Audit(database, sealer, random=self._bytes)
        self.links = Links(PICKLE_KEY, self._bytes)
        self.pins = Pins(
            database,
            self.links,
            self.audit.append,
            clock,
            raise_events=self._raise,
            pickle_key=PICKLE_KEY,
            url=self._url,
            tell=telling(f"wallet:{WALLET}"),
        )
        self.till = Till(
            database,
            self._raise,
            self.ledger,
            self.guard,
            self.audit,
            sealer,
            clock,
            settings,
            secret=b"a secret of a world",
            wallet=f"wallet:{WALLET}",
            randomness=self._bytes,
        )
        self.bank = Payments(self.till, pins=self.pins, randbelow=self._entropy.randrange)
        self.funding = Funding(
            database=database,
            raise_events=self._raise,
            ledger=self.ledger,
            guard=self.guard,
            books=Books(self.ledger, self.guard, self.audit),
            sealer=sealer,
            clock=clock,
            randomness=self._bytes,
            providers=self._providers(sealer),
            consumer=f"wallet:{WALLET}",
            sanctions=NoSanctions(),
        )
        self.funding.payments = self.bank
        self.bank.cash_outs = self.funding.begin
        self.rates = Rates(RatesSection(source=self._rates, fixed=RATES), HttpClient(), database, clock)
        names = [name for name, _make in self._made]
        bots = [Bot(name, f"@{name}:{BOT_SERVER}", name.capitalize()) for name in names]
        return {
            Payments: self.bank,
            Ledger: self.ledger,
            Guard: self.guard,
            Audit: self.audit,
            Pins: self.pins,
            Funding: self.funding,
            Rates: self.rates,
            Receipts: Receipts(database, sealer),
            Statements: Statements(database, self.ledger, sealer),
            PaymentSettings: settings,
            Registry: Registry(bots),
            SharedRooms: Meetings(self),
        }

    def _providers(self, sealer: Sealer) -> dict[str, Provider]:
        database, clock = self.database, self.clock
        self.sandbox = SandboxProvider(database, clock, self.links, self._url, PICKLE_KEY, self._bytes)
        providers: dict[str, Provider] = {"sandbox": self.sandbox}
        if self._bank:
            account = BankAccount("DE89370400440532013000", "Rialto")
            providers["bank"] = BankProvider(account, database, sealer, clock)
        return providers

    async def _start(self) -> None:
        self._extra = dict(self.build())
        if self._more is not None:
            self._extra |= self._more(self)
        self.payments = cast(Any, self.bank)  # what d.pay asks
        await super()._start()

    async def _raise(self, work: Callable[[Connection], Iterable[InternalEvent]]) -> None:
        self._worker.dispatch(await self._inbox.raise_events(work))

    def _bytes(self, count: int) -> bytes:
        return self._entropy.randbytes(count)

    def _url(self, path: str) -> str:
        self.links_made.append(path)
        return f"https://pages.world{path}"

    # People

    def user(self, name: str) -> Person:
        """A person whom the homeserver knows."""
        person = super().user(name)
        self.homeserver.profiles.setdefault(person.user_id, {"displayname": name.capitalize()})
        return person

    async def opened(self, name: str, money: str = "", currency: str = "EUR") -> Person:
        """A person whose wallet is open, with so much in it, and who has heard all that was said."""
        person = self.user(name)
        await person.says("balance")
        if money:
            await self.give(person, money, currency)
        await person.hears_all()
        return person

    async def owner(self, name: str, money: str = "", currency: str = "EUR") -> Person:
        """A person who has a wallet, and has not talked with it yet: quicker than :meth:`opened`."""
        await self._ensure()
        person = self.user(name)
        await self.bank.open_wallet(person.user_id)
        if money:
            await self.give(person, money, currency)
        return person

    async def give(self, person: Person, money: str, currency: str = "EUR") -> None:
        """Money from nowhere."""
        amount = Money.of(money, currency)
        source = await self.ledger.account("provider:test", currency, AccountKind.PROVIDER)
        target = await self.ledger.account(person.user_id, currency)
        key = f"gift:{self._entropy.random()}"
        (outcome,) = await self.ledger.execute([Transfer(key, source.id, target.id, amount, "top_up")])
        assert outcome.done, outcome

    async def has(self, person: Person | str, currency: str = "EUR") -> Money:
        """What somebody can spend."""
        return (await self.ledger.account(str(person), currency)).available

    async def payment_of(self, person: Person) -> Payment:
        """The latest payment of a person."""
        return (await self.bank.history(person.user_id, limit=1))[0]

    async def top_up_ends(self, person: Person, ending: str) -> None:
        """The last top-up of a person ends so at the sandbox: success, decline, late, unknown, …"""
        (top_up, *_) = await self.funding.top_ups(person.user_id)
        table = funding_top_ups
        query = sa.select(table.c.provider_id).where(table.c.id == top_up.id)
        provider_id = await self.database.read(lambda connection: connection.execute(query).scalar_one())
        assert await self.sandbox.settle(provider_id, ending)
        await self.pass_time(minutes=2)

    async def pass_time(self, **delta: float) -> None:
        """Time passes, and what is due by itself happens."""
        self.clock.advance(timedelta(**delta))
        await self.settle()

    async def settle(self) -> None:
        """What happens by itself, beside what the engine does: deadlines, providers that are asked."""
        await super().settle()
        # Nothing is due that was not a moment ago, unless somebody has written something or time has passed.
        while self._looked_at != self._moment:
            try:
                done = await Deadlines(self.bank).run_due() + await self.sandbox.run_due()
                done += await self.funding.run_once()
            except DatabaseError:
                if not self._dead:
                    raise
                done = 1
            await super().settle()
            if not done:
                self._looked_at = self._moment

    @property
    def _moment(self) -> tuple[int, int]:
        return self.database.commits, self.clock.now_ms() // 1_000

    async def quiet(self, room: Room, *people: Person) -> None:
        """Everybody has read what was said."""
        for person in people:
            await person.hears_all(room)


GENEROUS: Final = Tier(
    per_transfer={"EUR": "1000.00", "USD": "1000.00"},
    per_day={"EUR": "2000.00", "USD": "2000.00"},
    per_month={"EUR": "5000.00", "USD": "5000.00"},
    balance={"EUR": "10000.00", "USD": "10000.00"},
)


class Meetings:
    """Who shares a room, by the rooms of the world."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def shared(self, one: str, other: str, bot: str) -> str | None:
        """A room that all three have joined."""
        for room in self._world.homeserver.rooms.values():
            if all(room.members.get(each) == "join" for each in (one, other, bot)):
                return room.room_id
        return None


def code_in(*messages: Message) -> str:
    """The one-time code that the wallet has shown last."""
    for message in reversed(messages):
        found = CODE.findall(message.body)
        if found:
            return str(found[-1])
    raise AssertionError(f"no code in {[each.body for each in messages]}")
