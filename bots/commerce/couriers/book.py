"""Rows of couriers and trips with their seals open."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from bots.commerce.records import place_in, place_out
from bots.commerce.trade import Trade
from bots.domain.couriers import Courier, CourierJob, CourierState, JobKind, JobState, Proof
from bots.domain.money import Money
from bots.domain.places import Place
from bots.framework.clock import from_ms, to_ms
from bots.store.couriers import CourierRow, JobRow

COURIER: Final = "couriers"
JOB: Final = "courier_jobs"
_SEALED: Final = (
    "number", "seller", "account", "buyer", "asked", "offers", "rounds", "of", "tries", "pickup_code", "pin", "note",
    "failure", "never", "paid",
)  # fmt: skip
"""Fields of a trip that lie sealed as they are."""


class Book:
    """Seals and opens; of one plugin instance."""

    def __init__(self, trade: Trade, bot: str) -> None:
        self._trade = trade
        self.bot = bot

    def courier(self, row: CourierRow) -> Courier:
        """A row as a courier. Raises SealBroken."""
        held = self._trade.open(COURIER, f"{row.bot} {row.person}", row.sealed)
        return Courier(
            person=row.person,
            name=held["name"],
            vehicle=held["vehicle"],
            room_id=row.room_id,
            state=CourierState(row.state),
            applied_at=from_ms(row.applied_at),
            asked_at=from_ms(row.asked_at),
            job=row.job,
            revision=row.revision,
        )

    def courier_row(self, courier: Courier) -> CourierRow:
        """A courier as a row."""
        held = {"name": courier.name, "vehicle": courier.vehicle}
        return CourierRow(
            bot=self.bot,
            person=courier.person,
            state=courier.state.value,
            room_id=courier.room_id,
            job=courier.job,
            applied_at=to_ms(courier.applied_at),
            asked_at=to_ms(courier.asked_at),
            sealed=self._trade.seal(COURIER, f"{self.bot} {courier.person}", held),
            revision=courier.revision,
        )

    def job(self, row: JobRow) -> CourierJob:
        """A row as a trip. Raises SealBroken."""
        held = self._trade.open(JOB, row.id, row.sealed)
        kept: dict[str, Any] = {
            name: tuple(value) if isinstance(value := held[name], list) else value for name in _SEALED
        }
        return CourierJob(
            id=row.id,
            order=row.order_id,
            merchant=row.merchant,
            kind=JobKind(row.kind),
            state=JobState(row.state),
            courier=row.courier,
            pickup=_place(held["pickup"]),
            dropoff=_place(held["dropoff"]),
            fee=Money(row.fee, row.currency),
            tip=None if row.tip is None else Money(row.tip, row.currency),
            opened_at=from_ms(row.opened_at),
            updated_at=from_ms(row.updated_at),
            ready_at=_moment(held["ready_at"]),
            proof=Proof(held["proof"]),
            leave=held.get("leave", False),
            waits_from=_moment(held.get("waits_from")),
            deadline=_moment(row.deadline),
            revision=row.revision,
            **kept,
        )

    def job_row(self, job: CourierJob) -> JobRow:
        """A trip as a row."""
        whole = asdict(job)
        held: dict[str, Any] = {name: whole[name] for name in _SEALED}
        held |= {
            "pickup": place_out(job.pickup),
            "dropoff": place_out(job.dropoff),
            "ready_at": _ms(job.ready_at),
            "proof": job.proof.value,
            "leave": job.leave,
            "waits_from": _ms(job.waits_from),
        }
        return JobRow(
            id=job.id,
            bot=self.bot,
            order_id=job.order,
            merchant=job.merchant,
            kind=job.kind.value,
            state=job.state.value,
            courier=job.courier,
            currency=job.fee.currency,
            fee=job.fee.minor,
            tip=None if job.tip is None else job.tip.minor,
            owed=job.owed,
            deadline=_ms(job.deadline),
            opened_at=to_ms(job.opened_at),
            updated_at=to_ms(job.updated_at),
            sealed=self._trade.seal(JOB, job.id, held),
            revision=job.revision,
        )


def _place(held: Any) -> Place:
    place = place_in(held)
    assert place is not None, "a trip goes from a place to a place"
    return place


def _moment(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else to_ms(moment)
