"""Freezing a wallet and using it again, and the PIN. A PIN is only ever typed on a page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from sqlalchemy import Connection

from appservice.database import Database
from bots.framework import Context
from bots.framework.clock import Clock
from bots.framework.i18n import _
from bots.payments.guard import Guard, HeldByOthers
from bots.payments.outcomes import Also
from bots.wallet.chats import aside
from bots.wallet.means import Means
from bots.wallet.problems import Discreet
from bridge.audit import Audit

UNFREEZE: Final = "unfreeze"
"""What the page confirms by PIN, see :func:`unfreezer`."""


class Safety:
    """What keeps a wallet safe."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def freeze(self, ctx: Context) -> None:
        """At once, from whatever room, in the commit with the answer."""
        person, now, means = ctx.sender, ctx.now_ms(), self._means
        has_pin = await means.pins.has(person)

        def work(connection: Connection) -> None:
            # A link that was asked for before would set the PIN that ends it.
            means.pins.withdraw_set_links(connection, person)
            means.guard.freeze(connection, person, person, now)
            means.audit.append(
                connection, at=now, actor=person, action="wallet.freeze", subject=person, outcome="frozen"
            )

        ctx.store(work)
        to = await aside(ctx)
        lines = [to.t("❄️ Your wallet is frozen: nothing leaves it. What comes in still comes in.")]
        if has_pin:
            lines.append(to.t("“unfreeze” ends it, with your PIN."))
        else:
            lines.append(to.t("You have no PIN, so only the operator can end it, when they know that it is you."))
        to.tell(ctx, "\n".join(lines))

    async def unfreeze(self, ctx: Context) -> None:
        """A link to the page that asks for the PIN."""
        person, means = ctx.sender, self._means
        account = await means.ledger.account(person, means.settings.default_currency)
        now = ctx.now_ms()
        standing = await ctx.query(lambda read: means.guard.standing(read, person, account.balance, now))
        to = await aside(ctx)
        if standing.held:
            to.tell(ctx, to.t("The operator holds your wallet: only they can end that."))
        elif not standing.frozen:
            to.tell(ctx, to.t("Your wallet is not frozen."))
        elif not await means.pins.has(person):
            to.tell(ctx, to.t("You have no PIN, so only the operator can end it, when they know that it is you."))
        else:
            link = await means.pins.confirm_link(UNFREEZE, person)
            to.tell(ctx, to.t("Enter your PIN on this page, and your wallet can be used again: {link}", link=link))

    async def pin(self, ctx: Context) -> None:
        """A link to the page that sets the PIN."""
        person, means = ctx.sender, self._means
        if not await means.pins.has(person) and await ctx.query(lambda read: means.guard.is_frozen(read, person)):
            # Whoever has taken over a device could end the freeze with a PIN of their own.
            raise Discreet(
                "wallet.frozen_no_pin", _("Your wallet is frozen: a first PIN can be set when it is not."), clear=True
            )
        to = await aside(ctx)
        link = await means.pins.set_link(person)
        lines = [
            to.t("Set your PIN on this page, for yourself alone: {link}", link=link),
            to.t("Never write it here, and tell nobody."),
        ]
        to.tell(ctx, "\n".join(lines))


def unfreezer(database: Database, guard: Guard, audit: Audit, clock: Clock) -> Callable[[str, Also], Awaitable[None]]:
    """What the page does when the PIN was right: for ``ConfirmAction``, under :data:`UNFREEZE`."""

    async def unfreeze(person: str, also: Also) -> None:
        def work(connection: Connection) -> None:
            also(connection)
            now, outcome = clock.now_ms(), "unfrozen"
            try:
                guard.unfreeze(connection, person, person, now)
            except HeldByOthers:
                outcome = "held"
            audit.append(connection, at=now, actor=person, action="wallet.unfreeze", subject=person, outcome=outcome)

        await database.write(work)

    return unfreeze
