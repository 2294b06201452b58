"""The people whom a person pays: saved under names, trusted, forgotten, listed."""

from __future__ import annotations

from bots.framework import Context, InvalidValue
from bots.framework.arguments import fold, user
from bots.framework.i18n import _
from bots.wallet import payees, words
from bots.wallet.chats import aside
from bots.wallet.means import Means
from bots.wallet.paying import Paying

SHOWN = 50


class Acquaintances:
    """Payees."""

    def __init__(self, means: Means, paying: Paying) -> None:
        self._means = means
        self._paying = paying

    async def show(self, ctx: Context) -> None:
        """Saved ones with their names, then others who were paid before."""
        saved = await ctx.user_state.get(payees.PAYEES)
        known = {each.user_id for each in saved}
        others = [each for each in await self._paying.people_paid(ctx.sender) if each not in known]
        to = await aside(ctx)
        lines = []
        for each in saved[:SHOWN]:
            mark = " ★" if each.trusted else ""
            lines.append(f"• {each.name} – {each.user_id}{mark}" if each.name else f"• {each.user_id}{mark}")
        if saved:
            lines = [to.t("People you have saved (★: trusted):"), *lines]
        if others:
            lines += [to.t("People you have had payments with:"), *(f"• {each}" for each in others[:SHOWN])]
        if not lines:
            lines = [to.t("You have saved nobody yet. “save @bob as Bob” does, and “pay Bob 20 EUR” works then.")]
        to.tell(ctx, "\n".join(lines))

    async def save(self, ctx: Context, text: str) -> None:
        """Save somebody: "@bob as Bob"."""
        user_id, name = await self._named(ctx, text)
        if not name:
            name = await self._means.registry.name(ctx, user_id) or user_id[1:].partition(":")[0]
        await self._means.registry.check(ctx, user_id)
        await payees.save(ctx.user_state, user_id, name)
        to = await aside(ctx)
        to.tell(ctx, to.t("Saved: {name} is {person}.", name=" ".join(name.split()), person=user_id))

    async def trust(self, ctx: Context, text: str, yes: bool) -> None:
        """Trust somebody, or not any more: it takes the warning about a first payment away, and never the code."""
        user_id, _name = await self._named(ctx, text)
        if yes:
            await self._means.registry.check(ctx, user_id)
        await payees.trust(ctx.user_state, user_id, yes)
        to = await aside(ctx)
        if yes:
            lines = [
                to.t("You trust {person} now: no more warnings that you have never paid them.", person=user_id),
                to.t("I still ask for a code each time."),
            ]
            to.tell(ctx, "\n".join(lines))
        else:
            to.tell(ctx, to.t("You trust {person} no more.", person=user_id))

    async def forget(self, ctx: Context, name: str) -> None:
        """Take somebody out of the list."""
        gone = await payees.forget(ctx.user_state, name.strip())
        to = await aside(ctx)
        if gone is None:
            to.tell(ctx, to.t("You have saved nobody called {name}.", name=name.strip()[: payees.NAME]))
        else:
            to.tell(ctx, to.t("Forgotten: {person}.", person=gone.user_id))

    async def _named(self, ctx: Context, text: str) -> tuple[str, str]:
        """The person that a text begins with, and the name behind "as".

        Raises:
            InvalidValue: it begins with nobody.
        """
        first, __, rest = text.strip().partition(" ")
        if not first:
            raise InvalidValue("wallet.no_payee", _("Whom? Write their id, such as @bob."), clear=True)
        saved = (await payees.names(ctx.user_state)).get(fold(first))
        word, __, behind = rest.strip().partition(" ")
        if behind and self._means.env(ctx).vocabulary(words.WORDS).get(word) == "as":
            rest = behind
        return saved or user(first, self._means.env(ctx)), rest.strip()
