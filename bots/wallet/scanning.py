"""Requests as QR codes: made here, and read again from a photo, a link or the letters below the code."""

from __future__ import annotations

import asyncio
import logging

from appservice.media.errors import MediaError
from bots.domain.payments import PaymentKind, Proposal
from bots.framework import Context, InvalidValue
from bots.framework.i18n import _
from bots.framework.own_chat import alone
from bots.wallet import codes, numbers, sentences, words
from bots.wallet.chats import aside
from bots.wallet.means import Means
from bots.wallet.paying import Paying

log = logging.getLogger(__name__)


class Scanning:
    """QR codes."""

    def __init__(self, means: Means, paying: Paying) -> None:
        self._means = means
        self._paying = paying
        self._looking = asyncio.Lock()
        """One picture at a time: a small file can take hundreds of megabytes, and seconds."""

    async def make(self, ctx: Context, text: str) -> None:
        """ "5 EUR coffee": a code that one person can pay, once."""
        order = words.order(text, self._means.env(ctx), {}, ctx.user_id)
        if order.amount is None:
            raise InvalidValue("wallet.no_amount", _("How much? Write an amount, such as 20 EUR."), clear=True)
        if order.people:
            raise InvalidValue("wallet.qr_for_all", _("A code is for whoever scans it. “request” asks somebody."))
        payment = await self._means.payments.propose(
            Proposal(
                kind=PaymentKind.TRANSFER,
                payer="",
                payee=ctx.sender,
                amount=self._means.offered(order.amount),
                memo=order.memo,
                key=f"qr:{ctx.event.event_id}",
                initiator=ctx.sender,
                origin_room="" if await alone(ctx) else ctx.room_id,
                expires_at=ctx.now_ms() + self._means.settings.request_ttl,
            )
        )
        number = await numbers.number(ctx.user_state, payment.id)
        link = codes.link_of(ctx.user_id, payment.id)
        picture = await asyncio.to_thread(codes.picture_of, link)
        await ctx.send_image(picture, "request.png", caption=ctx.t("Pay {amount}", amount=payment.amount))
        lines = [
            ctx.t("Who scans this, or sends me a photo of it, can pay you {amount}: one person, once.",
                  amount=payment.amount),
            ctx.t("The same as a link: {link}", link=link),
            ctx.t("Or they type to me: pay {token}", token=payment.id),
            ctx.t("Good until {time}. “cancel {number}” takes it back.", time=sentences.at(payment.expires_at),
                  number=number),
        ]  # fmt: skip
        ctx.say("\n".join(lines))

    async def photo(self, ctx: Context) -> None:
        """Read a photo that somebody sends to the wallet; pictures among people are not looked at."""
        if not await alone(ctx):
            return
        try:
            picture = await ctx.download()
            async with self._looking:
                texts = await asyncio.to_thread(codes.texts_in, picture)
        except (codes.Unreadable, MediaError) as error:
            log.debug("a picture could not be read: %s", type(error).__name__)
            raise InvalidValue("wallet.picture", _("I cannot read this picture: send it as a PNG or JPEG.")) from None
        tokens = codes.tokens_in(texts)
        if len(tokens) == 1:
            await self._paying.scan(ctx, tokens[0])
            return
        if tokens:
            raise InvalidValue("wallet.several_codes", _("There are several codes in this picture: show me one."))
        if codes.is_bank_transfer(texts):
            raise InvalidValue("wallet.bank_code", _("This code is for a bank's app. I pay codes that “qr” has made."))
        if texts:
            raise InvalidValue("wallet.other_code", _("This code is no request for money."))
        to = await aside(ctx)
        to.tell(ctx, to.t("I see no code in this picture. Take it closer, straight, and in good light."))
