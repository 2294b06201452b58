"""Payments that end as a test says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appservice.events import InternalEvent
from appservice.unit import UnitOfWork
from bots.domain.money import Money
from bots.framework.dialogs.payments import OUTCOME, Payment
from bots.framework.payment_changes import PAYMENT_CHANGED

if TYPE_CHECKING:
    from bots.framework.testing.world import World


class WorldPayments:
    """Remembers what was asked for; nothing is paid until the test says so."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.asked: dict[str, Payment] = {}
        """By key, in the order of asking."""
        self.withdrawn: set[str] = set()
        """The keys of those that are not wanted any more."""
        self.ended: dict[str, bool] = {}
        """Whether they were paid, by key."""
        self._changes: dict[str, int] = {}

    @property
    def open(self) -> list[Payment]:
        """Those that wait for the payer."""
        return [each for key, each in self.asked.items() if key not in self.withdrawn and key not in self.ended]

    @property
    def paid(self) -> list[Money]:
        """The amounts that were paid, in the order of asking."""
        return [each.amount for key, each in self.asked.items() if self.ended.get(key)]

    async def request(self, payment: Payment, unit: UnitOfWork) -> None:
        """Ask the payer."""

        def ask() -> None:
            self.asked.setdefault(payment.key, payment)

        unit.after_commit(ask)

    async def withdraw(self, key: str, unit: UnitOfWork) -> None:
        """The payment is not wanted any more."""
        unit.after_commit(lambda: self.withdrawn.add(key))

    async def succeed(self, payment: Payment | None = None) -> None:
        """The payer pays the oldest open payment, or this one, however late."""
        await self._end(payment, True)

    async def fail(self, payment: Payment | None = None) -> None:
        """The payer refuses, or cannot pay."""
        await self._end(payment, False)

    async def change(
        self,
        payment: str,
        state: str,
        *,
        person: str,
        kind: str = "invoice",
        about: str = "state",
        by: str = "",
        due: int | None = None,
        bot: int = 0,
    ) -> None:
        """Have a bot hear by ``@payment_changed`` what has become of a payment.

        Args:
            payment: its id.
            state: what it is now.
            person: the user id of whom it is told for.
            kind: what it is.
            about: ``state``, ``reminder`` or ``subscription``.
            by: who has caused it.
            due: of a reminder: when it is charged (ms).
            bot: which of the world's bots hears it.
        """
        await self._world.settle()
        self._changes[payment] = number = self._changes.get(payment, 0) + 1
        content = {"payment": payment, "kind": kind, "state": state, "change": number, "about": about, "by": by}
        event = InternalEvent(
            key=f"payment:{payment}:{number}:{person}",
            consumer=self._world.consumer_name(bot),
            room_id=f"~payments:{person}",
            type=PAYMENT_CHANGED,
            content={**content, "due": due},
            sender=person,
        )
        await self._world.raise_events(lambda _connection: [event])
        await self._world.settle()

    async def _end(self, payment: Payment | None, paid: bool) -> None:
        await self._world.settle()
        if payment is None:
            assert self.open, "no payment is open"
            payment = self.open[0]
        self.ended[payment.key] = paid
        outcome = InternalEvent(
            key=f"payment:{payment.key}",
            consumer=payment.consumer,
            room_id=payment.room_id,
            type=OUTCOME,
            content={"dialog": payment.dialog, "key": payment.key, "paid": paid},
            sender=payment.payer,
        )
        await self._world.raise_events(lambda _connection: [outcome])
        await self._world.settle()
