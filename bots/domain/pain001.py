"""Orders to the bank: a file of SEPA credit transfers in pain.001.001.03 (ISO 20022).

The same batch gives the same bytes. Text is reduced to the characters that every bank takes (EPC217-08).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Final
from xml.sax.saxutils import escape

from bots.domain.epc import bic, iban
from bots.domain.money import Money

NAMESPACE: Final = "urn:iso:std:iso:20022:tech:xsd:pain.001.001.03"
MAX_ORDERS: Final = 5_000
_ALLOWED: Final = re.compile(r"[^A-Za-z0-9/\-?:().,'+ ]")
_ID: Final = re.compile(r"[A-Za-z0-9+\-]{1,35}")
_LETTERS: Final[Mapping[str, str]] = MappingProxyType(
    {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "æ": "ae", "Æ": "Ae"}
    | {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "œ": "oe", "Œ": "Oe", "þ": "th", "Þ": "Th"}
    | {"&": "+", "’": "'", "–": "-", "—": "-", "_": "-"}
)


@dataclass(frozen=True, slots=True)
class Order:
    """One transfer of a batch."""

    id: str
    """The end-to-end reference: how the statement tells which one it was."""
    name: str
    iban: str
    amount: Money
    text: str = ""

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id) or not plain(self.name, 70):
            raise ValueError("an order needs an id of 35 characters at most and a name")
        if iban(self.iban) != self.iban or self.amount.currency != "EUR" or not 0 < self.amount.minor <= 99_999_999_999:
            raise ValueError("an order needs an IBAN and an amount in EUR")


@dataclass(frozen=True, slots=True)
class Batch:
    """The orders of one file, and the account that they are paid from."""

    id: str
    created_at: datetime
    execute_on: date
    name: str
    iban: str
    bic: str
    orders: tuple[Order, ...]

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id) or not plain(self.name, 70):
            raise ValueError("a batch needs an id of 35 characters at most and a name")
        if iban(self.iban) != self.iban or (self.bic and bic(self.bic) != self.bic):
            raise ValueError("a batch needs an IBAN")
        if not 0 < len(self.orders) <= MAX_ORDERS or len({order.id for order in self.orders}) != len(self.orders):
            raise ValueError("a batch has orders, each once")

    @property
    def total(self) -> Money:
        """The control sum."""
        return Money(sum(order.amount.minor for order in self.orders), "EUR")


def plain(text: str, length: int) -> str:
    """The text in the characters that every bank takes; what has none becomes a full stop."""
    spelt = "".join(_LETTERS.get(char, char) for char in text)
    bare = "".join(char for char in unicodedata.normalize("NFKD", spelt) if not unicodedata.combining(char))
    return " ".join(_ALLOWED.sub(".", re.sub(r"\s", " ", bare)).split())[:length].strip()


def write(batch: Batch) -> bytes:
    """The file, UTF-8."""
    total, count = f"{batch.total.amount:.2f}", len(batch.orders)
    agent = f"<BIC>{batch.bic}</BIC>" if batch.bic else "<Othr><Id>NOTPROVIDED</Id></Othr>"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<Document xmlns="{NAMESPACE}">',
        "<CstmrCdtTrfInitn>",
        "<GrpHdr>",
        f"<MsgId>{batch.id}</MsgId>",
        f"<CreDtTm>{batch.created_at.strftime('%Y-%m-%dT%H:%M:%SZ')}</CreDtTm>",
        f"<NbOfTxs>{count}</NbOfTxs>",
        f"<CtrlSum>{total}</CtrlSum>",
        f"<InitgPty><Nm>{_text(batch.name, 70)}</Nm></InitgPty>",
        "</GrpHdr>",
        "<PmtInf>",
        f"<PmtInfId>{batch.id}</PmtInfId>",
        "<PmtMtd>TRF</PmtMtd>",
        # Each transfer is booked by itself, so that the statement shows each.
        "<BtchBookg>false</BtchBookg>",
        f"<NbOfTxs>{count}</NbOfTxs>",
        f"<CtrlSum>{total}</CtrlSum>",
        "<PmtTpInf><SvcLvl><Cd>SEPA</Cd></SvcLvl></PmtTpInf>",
        f"<ReqdExctnDt>{batch.execute_on.isoformat()}</ReqdExctnDt>",
        f"<Dbtr><Nm>{_text(batch.name, 70)}</Nm></Dbtr>",
        f"<DbtrAcct><Id><IBAN>{batch.iban}</IBAN></Id></DbtrAcct>",
        f"<DbtrAgt><FinInstnId>{agent}</FinInstnId></DbtrAgt>",
        "<ChrgBr>SLEV</ChrgBr>",
    ]
    for order in batch.orders:
        text = _text(order.text, 140)
        lines += [
            "<CdtTrfTxInf>",
            f"<PmtId><EndToEndId>{order.id}</EndToEndId></PmtId>",
            f'<Amt><InstdAmt Ccy="EUR">{order.amount.amount:.2f}</InstdAmt></Amt>',
            f"<Cdtr><Nm>{_text(order.name, 70)}</Nm></Cdtr>",
            f"<CdtrAcct><Id><IBAN>{order.iban}</IBAN></Id></CdtrAcct>",
            *([f"<RmtInf><Ustrd>{text}</Ustrd></RmtInf>"] if text else []),
            "</CdtTrfTxInf>",
        ]
    lines += ["</PmtInf>", "</CstmrCdtTrfInitn>", "</Document>", ""]
    return "\n".join(lines).encode()


def _text(text: str, length: int) -> str:
    return escape(plain(text, length))
