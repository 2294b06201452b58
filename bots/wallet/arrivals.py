"""What people are told of money that comes from outside: top-ups, whose end only their provider knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bots.domain.funding import PayoutState, TopUpState
from bots.framework import Context
from bots.framework.funding_changes import FundingChange
from bots.payments.funding_values import FundingRefused, TopUp
from bots.wallet import sentences
from bots.wallet.chats import Hearer, hearer
from bots.wallet.means import Means

_LOST: Final = frozenset({TopUpState.DECLINED, TopUpState.EXPIRED})


class Arrivals:
    """Tells people."""

    def __init__(self, means: Means) -> None:
        self._means = means

    async def changed(self, ctx: Context, change: FundingChange) -> None:
        """A top-up or a cash-out is something else than before. What cash-outs come to their payments say."""
        to = await hearer(ctx, change.person)
        if change.kind == "cash_out":
            if change.state == PayoutState.UNKNOWN:
                text = to.t("⏳ Nobody can say yet whether your cash-out went through. The money stays set aside.")
                to.tell(ctx, text, key=f"cash-out {change.id} unknown")
            return
        if change.kind != "top_up":
            return
        try:
            top_up = await self._means.funding.get(change.id)
        except FundingRefused:
            return
        await self._top_up(ctx, to, top_up)

    async def _top_up(self, ctx: Context, to: Hearer, top_up: TopUp) -> None:
        """Each thing that can be said of a top-up is said once."""
        title = await self._means.full(ctx, f"provider:{top_up.provider}")
        amount = top_up.amount
        if top_up.credited:
            balance = (await self._means.ledger.account(to.person, amount.currency)).available
            text = to.t("✅ {amount} has come in by {provider}.", amount=top_up.credited, provider=title)
            text += "\n" + to.t("You now have {balance}.", balance=balance)
            to.tell(ctx, text, key=f"top-up {top_up.id} credited {top_up.credited.minor}", ring=True)
        if top_up.suspended:
            text = to.t("⏳ {amount} has come in by {provider}, and your wallet has no room. The operator sees to it.",
                        amount=top_up.suspended, provider=title)  # fmt: skip
            to.tell(ctx, text, key=f"top-up {top_up.id} suspended {top_up.suspended.minor}")
        if top_up.refunded:
            text = to.t("↩️ {amount} of a top-up goes back by {provider}.", amount=top_up.refunded, provider=title)
            to.tell(ctx, text, key=f"top-up {top_up.id} refunded {top_up.refunded.minor}")
        if top_up.state in _LOST and not top_up.credited and not top_up.suspended:
            text = to.t("✗ The top-up of {amount} was declined: nothing has come in.", amount=amount)
            if top_up.state is TopUpState.EXPIRED:
                text = to.t("The time for the top-up of {amount} has passed: nothing has come in.", amount=amount)
            to.tell(ctx, text, key=f"top-up {top_up.id} {top_up.state.value}")
        elif top_up.state is TopUpState.UNKNOWN:
            text = to.t("⏳ {provider} cannot say yet whether {amount} has come. I go on asking.", amount=amount,
                        provider=title)  # fmt: skip
            to.tell(ctx, text, key=f"top-up {top_up.id} unknown")
        elif top_up.state is TopUpState.PENDING and top_up.link:
            to.tell(ctx, page(to, top_up, title), key=page_key(top_up))


def page(to: Hearer, top_up: TopUp, provider: str) -> str:
    """Where somebody brings money in."""
    return "\n".join(
        [
            to.t("Bring in {amount} on this page of {provider}: {link}", amount=top_up.amount, provider=provider,
                 link=top_up.link),
            to.t("Good until {time}. I tell you when the money is here.", time=sentences.at(top_up.expires_at)),
        ]
    )  # fmt: skip


def page_key(top_up: TopUp) -> str:
    """The page is shown once, be it in answer or when its provider has answered late."""
    return f"top-up {top_up.id} page"


async def pin_changed(ctx: Context, data: Mapping[str, Any]) -> None:
    """A PIN was set, changed, forgotten or locked: whoever it belongs to hears so, for it may not have been they."""
    to = await hearer(ctx, str(data["person"]))
    text = {
        "set": to.t("🔐 Your PIN is set."),
        "changed": to.t("🔐 Your PIN was changed."),
        "forgotten": to.t("🔐 The operator has taken your PIN away. “pin” sets a new one."),
        "locked": to.t("🔐 Your PIN was entered wrongly too often, and is locked for a while."),
    }.get(str(data["change"]))
    if text is not None:
        whole = text + "\n" + to.t("If that was not you, write “freeze”.")
        to.tell(ctx, whole, key=f"pin {data['person']} {data['change']} {data['at']}")
