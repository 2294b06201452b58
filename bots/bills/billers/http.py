"""A biller that speaks JSON over HTTP, by configuration. ``docs/bills.md`` has its three requests.

What is not clearly an answer counts as none: a payment whose answer is late, broken, about another payment or of
another amount is one of which nobody knows, and its money stays held until the biller says something clear.
"""

from __future__ import annotations

import logging
import re
from datetime import date
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from bots.bills.billers.base import (
    Answered,
    Changed,
    Failed,
    Fetched,
    FetchRequest,
    Found,
    NeverHeard,
    NoAnswer,
    NoSuchAccount,
    NothingDue,
    NotYet,
    Paid,
    PayRequest,
    Unknown,
)
from bots.domain.bills import Bill, BillerInfo
from bots.domain.money import Money, MoneyError
from bots.framework.http import HttpClient, HttpError, HttpRefused

log = logging.getLogger(__name__)

T = TypeVar("T")

MAX_ANSWER: Final = 64 * 1024
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

Amount = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,15}(?:\.[0-9]{1,4})?$", strict=True)]
Short = Annotated[str, StringConstraints(min_length=1, max_length=64, strict=True)]
Reference = Annotated[str, StringConstraints(max_length=100, strict=True)]
CurrencyCode = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$", strict=True)]


class _Answer(BaseModel):
    """More than what is expected may stand in an answer; what is expected is of its very type."""

    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class _Bill(_Answer):
    period: Short
    amount: Amount
    currency: CurrencyCode
    due: str | None = None
    minimum: Amount | None = None
    reference: Reference = ""

    def bill(self) -> Bill:
        """Raises ValueError for what cannot be."""
        if self.due is not None and not _DAY.fullmatch(self.due):
            raise ValueError("a date is written YYYY-MM-DD")
        return Bill(
            self.period,
            Money.of(self.amount, self.currency),
            None if self.due is None else date.fromisoformat(self.due),
            None if self.minimum is None else Money.of(self.minimum, self.currency),
            self.reference,
        )


class _Found(_Answer):
    status: Literal["found"]
    bill: _Bill


class _Nothing(_Answer):
    status: Literal["none", "rejected"]


class _PaidAlready(_Answer):
    status: Literal["paid"]
    receipt: Reference = ""


class _Later(_Answer):
    status: Literal["pending"]
    retry_after: int | None = Field(None, ge=1, le=600)


class _Taken(_Answer):
    status: Literal["paid"]
    payment: Short
    receipt: Short
    amount: Amount
    currency: CurrencyCode


class _NotTaken(_Answer):
    status: Literal["failed", "pending", "unknown"]
    payment: Short


class _Dearer(_Answer):
    status: Literal["changed"]
    payment: Short
    bill: _Bill


_Fetch = Annotated[_Found | _Nothing | _PaidAlready | _Later, Field(discriminator="status")]
_Pay = Annotated[_Taken | _NotTaken | _Dearer, Field(discriminator="status")]
FETCHED: Final[TypeAdapter[Any]] = TypeAdapter(_Fetch)
PAID: Final[TypeAdapter[Any]] = TypeAdapter(_Pay)


class _Unclear(Exception):
    """No answer, or none that can be used. ``reason`` is a stable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class HttpBiller:
    """One of them."""

    def __init__(
        self,
        info: BillerInfo,
        http: HttpClient,
        url: str,
        *,
        paths: tuple[str, str, str] = ("/fetch", "/pay", "/status"),
        headers: dict[str, str] | None = None,
        currency: str,
        timeout: float = 20.0,
    ) -> None:
        """
        Args:
            url: what the paths are put behind.
            paths: of the three requests: fetch, pay, status.
            headers: go with each of them, such as ``Authorization``.
            currency: bills in another one are not taken.
            timeout: seconds of one request with everything.
        """
        self._info = info
        self._http = http
        self._urls = [url.rstrip("/") + path for path in paths]
        self._headers = headers or {}
        self._currency = currency
        self._timeout = timeout

    @property
    def info(self) -> BillerInfo:
        """As people see it."""
        return self._info

    async def fetch(self, request: FetchRequest) -> Fetched:
        """Ask what there is to pay."""
        try:
            answer = await self._ask(0, {"request": request.id, "account": dict(request.fields)}, None, FETCHED)
            if isinstance(answer, _Found):
                return Found(self._bill(answer.bill))
        except _Unclear as error:
            return NoAnswer(error.reason)
        if isinstance(answer, _PaidAlready):
            return NothingDue(paid=True, receipt=_printable(answer.receipt))
        if isinstance(answer, _Later):
            return NotYet(answer.retry_after)
        return NothingDue() if answer.status == "none" else NoSuchAccount()

    async def pay(self, request: PayRequest) -> Answered:
        """Have it take the money. The key goes along as ``Idempotency-Key``."""
        body = {
            "payment": request.key,
            "account": dict(request.fields),
            "period": request.period,
            "reference": request.reference,
            "amount": f"{request.amount.amount:f}",
            "currency": request.amount.currency,
        }
        answer = await self._answered(1, body, request, request.key)
        # “unknown” is an answer to the question what became of a payment, not to the payment itself.
        return Unknown("answer") if isinstance(answer, NeverHeard) else answer

    async def status(self, request: PayRequest) -> Answered:
        """Ask what became of a payment."""
        return await self._answered(2, {"payment": request.key}, request, None)

    async def _answered(self, which: int, body: dict[str, Any], request: PayRequest, key: str | None) -> Answered:
        try:
            answer = await self._ask(which, body, key, PAID)
            if answer.payment != request.key:
                raise _Unclear("other_payment")
            if isinstance(answer, _Dearer):
                return Changed(self._bill(answer.bill))
            if isinstance(answer, _Taken):
                return self._taken(answer, request)
        except _Unclear as error:
            return Unknown(error.reason)
        if answer.status == "failed":
            return Failed()
        return NeverHeard() if answer.status == "unknown" else Unknown("pending")

    def _taken(self, answer: _Taken, request: PayRequest) -> Answered:
        """A receipt for another amount is none."""
        try:
            amount = Money.of(answer.amount, answer.currency)
        except MoneyError:
            raise _Unclear("amount") from None
        receipt = _printable(answer.receipt)
        if amount != request.amount or not receipt:
            raise _Unclear("amount" if receipt else "receipt")
        return Paid(receipt)

    def _bill(self, given: _Bill) -> Bill:
        try:
            bill = given.bill()
        except ValueError:
            raise _Unclear("bill") from None
        if bill.amount.currency != self._currency:
            raise _Unclear("currency")
        return bill

    async def _ask(self, which: int, body: dict[str, Any], key: str | None, expected: TypeAdapter[T]) -> T:
        try:
            answer = await self._http.request(
                "POST",
                self._urls[which],
                json=body,
                headers={"Accept": "application/json", **self._headers},
                idempotency_key=key,
                expect={200},
                timeout=self._timeout,
                max_bytes=MAX_ANSWER,
            )
            return expected.validate_python(answer.json())
        except HttpRefused as error:
            reason = f"status_{error.status}"
        except HttpError as error:
            reason = error.code
        except (ValidationError, RecursionError):
            reason = "answer"
        # The reason only: an answer may hold anything.
        log.warning("a biller did not answer as it should: %s", reason, extra={"biller": self._info.id})
        raise _Unclear(reason)


def _printable(text: str) -> str:
    return text if text.isprintable() else ""
