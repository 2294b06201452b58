"""The book of bills: rows with their seals open, and the digests that tell accounts and bills apart."""

from __future__ import annotations

import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any, Final

from prometheus_client import Gauge

from appservice import json
from appservice.sealing import Sealer
from bots.domain.bills import Bill, State, canonical, identity
from bots.domain.money import Money
from bots.store.bills import AccountRow, BillRow

PURPOSE: Final = "payments"


@dataclass(frozen=True, slots=True)
class StoredBill:
    """One bill. ``row`` is as it lies in the database."""

    row: BillRow
    fields: Mapping[str, str]
    period: str = ""
    reference: str = ""
    receipt: str = ""

    @property
    def id(self) -> str:
        """Its id, which is also its key at the biller and at the wallet."""
        return self.row.id

    @property
    def state(self) -> State:
        """Where it stands."""
        return State(self.row.state)

    @property
    def bill(self) -> Bill:
        """What the biller asks for; only once it is known."""
        row = self.row
        return Bill(
            self.period,
            Money(row.amount, row.currency),
            None if row.due_on is None else date.fromisoformat(row.due_on),
            None if row.minimum is None else Money(row.minimum, row.currency),
            self.reference,
        )

    @property
    def paying(self) -> Money:
        """What the person pays of it."""
        return Money(self.row.paying, self.row.currency)


@dataclass(frozen=True, slots=True)
class Account:
    """One saved account."""

    row: AccountRow
    nickname: str
    fields: Mapping[str, str]

    @property
    def id(self) -> str:
        """Its id."""
        return self.row.id

    @property
    def cap(self) -> Money | None:
        """Bills up to this amount are paid by themselves."""
        return None if self.row.cap is None else Money(self.row.cap, self.row.currency)


class Book:
    """Seals and opens what lies in the bills' tables; one for the service."""

    def __init__(self, pickle_key: str, unknown: Gauge | None = None) -> None:
        """
        Args:
            unknown: the metric of payments that billers have not confirmed, by the plugin instance.
        """
        self._unknown = unknown
        self._sealer = Sealer(pickle_key, PURPOSE)
        self._key = hmac.digest(pickle_key.encode(), b"rialto bills", "sha256")

    # Bills

    def bill(self, row: BillRow) -> StoredBill:
        """A row with its seal open. Raises SealBroken."""
        held = json.loads(self._sealer.open(row.sealed, f"bills:{row.id}"))
        return StoredBill(row, held["fields"], held["period"], held["reference"], held["receipt"])

    def sealed(self, bill_id: str, fields: Mapping[str, str], period: str = "", reference: str = "") -> bytes:
        """What lies in a new row."""
        return self._seal(bill_id, fields, period, reference, "")

    def found(self, stored: StoredBill, bill: Bill) -> StoredBill:
        """With what the biller asks for."""
        row = replace(
            stored.row,
            sealed=self._seal(stored.id, stored.fields, bill.period, bill.reference, ""),
            claim=self.claim(stored.row.biller, stored.fields, bill.period),
            currency=bill.amount.currency,
            amount=bill.amount.minor,
            minimum=None if bill.minimum is None else bill.minimum.minor,
            due_on=None if bill.due is None else bill.due.isoformat(),
        )
        return StoredBill(row, stored.fields, bill.period, bill.reference)

    def receipted(self, stored: StoredBill, receipt: str) -> StoredBill:
        """With the number of the biller's receipt."""
        sealed = self._seal(stored.id, stored.fields, stored.period, stored.reference, receipt)
        return replace(stored, row=replace(stored.row, sealed=sealed), receipt=receipt)

    def _seal(self, bill_id: str, fields: Mapping[str, str], period: str, reference: str, receipt: str) -> bytes:
        held: dict[str, Any] = {"fields": dict(fields), "period": period, "reference": reference, "receipt": receipt}
        return self._sealer.seal(json.dumps(held), f"bills:{bill_id}")

    # Saved accounts

    def account(self, row: AccountRow) -> Account:
        """A row with its seal open. Raises SealBroken."""
        held = json.loads(self._sealer.open(row.sealed, f"bill_accounts:{row.id}"))
        return Account(row, held["nickname"], held["fields"])

    def named(self, row: AccountRow, nickname: str, fields: Mapping[str, str]) -> AccountRow:
        """The row with this nickname."""
        held = json.dumps({"nickname": nickname, "fields": dict(fields)})
        sealed = self._sealer.seal(held, f"bill_accounts:{row.id}")
        return replace(row, sealed=sealed, nickname=self.digest("nickname", row.person, canonical(nickname)))

    def count_unknown(self, bot: str, number: int) -> None:
        """So many payments are not confirmed by their billers now."""
        if self._unknown is not None:
            self._unknown.labels(bot).set(number)

    # Digests

    def account_of(self, biller: str, fields: Mapping[str, str]) -> str:
        """What tells an account from others."""
        return self.digest("account", identity(biller, fields))

    def claim(self, biller: str, fields: Mapping[str, str], period: str) -> str:
        """What tells a bill from others."""
        return self.digest("bill", identity(biller, fields, period))

    def digest(self, *parts: str) -> str:
        """Without the key nobody finds the account numbers that were digested by trying them all."""
        return hmac.digest(self._key, "\0".join(parts).encode(errors="surrogatepass"), "sha256").hex()[:40]


def made_of(*parts: str) -> str:
    """An id that is the same for the same cause."""
    digest = sha256("\0".join(parts).encode(errors="surrogatepass")).digest()
    return b32encode(digest[:15]).decode().lower()
