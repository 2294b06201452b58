"""What happens to trips and their pay by itself, whoever dispatches: for every bot that has something brought."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any, Final

from bots.commerce.couriers.dispatch import NEWS
from bots.commerce.couriers.pool import PAY, Pool
from bots.commerce.desk.base import DeskBase
from bots.domain.couriers import CourierJob
from bots.domain.payments import PaymentRefused
from bots.framework import Context, every, timer

__all__ = ["CourierKeeping"]

log = logging.getLogger(__name__)

PAY_AGAIN: Final = timedelta(minutes=10)


class CourierKeeping(DeskBase):
    """For the plugin to inherit. Its constructor sets :attr:`pool`, and :attr:`desk`, by which couriers are paid."""

    pool: Pool

    @timer(PAY)
    async def pay_courier(self, ctx: Context, data: dict[str, Any]) -> None:
        """Pay a courier what they have earned by a trip: once, however often it is tried."""
        job = await self.pool.job(ctx, data["trip"])
        if job is None or not job.owed:
            return
        if not await self.may_pay(ctx, job):
            self.pool.pay_soon(ctx, job, ctx.now() + PAY_AGAIN)
            return
        try:
            await self.desk.payouts.pay(
                ctx,
                job.courier,
                job.earned,
                key=f"trip/{job.id}",
                memo=f"{job.seller} {job.number}",
                sub=job.account,
            )
        except PaymentRefused as error:
            log.warning("a courier could not be paid yet", extra={"trip": job.id, "reason": error.code})
            self.pool.pay_soon(ctx, job, ctx.now() + PAY_AGAIN)
            return
        await self.pool.paid(ctx, job)

    async def may_pay(self, ctx: Context, job: CourierJob) -> bool:
        """Whether what a trip earned can be paid now: for the plugin, which knows whose money goes first."""
        return True

    @timer(NEWS)
    async def courier_news(self, ctx: Context, data: dict[str, Any]) -> None:
        """Who dispatches has moved a trip."""
        await self.pool.heard(ctx, data)

    @every(timedelta(minutes=1))
    async def sweep_trips(self, ctx: Context) -> None:
        """Go on with what was forgotten."""
        await self.pool.sweep(ctx)
