"""The short numbers by which a person names requests for money: “pay 3”, “decline 3”, “cancel 4”."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel

from bots.framework import Key, State

KEPT: Final = 200
"""Requests that a person can name."""
HIGHEST: Final = 9_999


class Numbers(BaseModel):
    """Payments by number, of one person. A number is never given twice while it may still be meant."""

    last: int = 0
    payments: dict[int, str] = {}


NUMBERS: Final = Key("numbers", Numbers, default=Numbers(), secret=True)


async def number(state: State, payment_id: str) -> int:
    """The number of a payment; it gets one when it has none."""
    known = await state.get(NUMBERS)
    if (found := _of(known, payment_id)) is not None:
        return found

    def given(before: Numbers) -> Numbers:
        if _of(before, payment_id) is not None:
            return before
        last = before.last % HIGHEST + 1
        payments = {key: value for key, value in before.payments.items() if key != last}
        payments[last] = payment_id
        return Numbers(last=last, payments=dict(list(payments.items())[-KEPT:]))

    await state.update(NUMBERS, given)
    return _of(await state.get(NUMBERS), payment_id) or 0


async def payment(state: State, wanted: int) -> str | None:
    """The payment of a number."""
    return (await state.get(NUMBERS)).payments.get(wanted)


def _of(numbers: Numbers, payment_id: str) -> int | None:
    return next((key for key, value in numbers.payments.items() if value == payment_id), None)
