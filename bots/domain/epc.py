"""SEPA credit transfers as people see them: IBAN, BIC, creditor references, and the QR code that banking apps read.

IBAN: ISO 13616, check digits by ISO 7064 MOD 97-10. Creditor reference ("RF"): ISO 11649. QR code: EPC069-12 of the
European Payments Council, version 002.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from bots.domain.money import Money

MAX_BYTES: Final = 331
"""Of a payload, as EPC069-12 says: QR version 13 at error correction level M."""
SMALLEST: Final = Money(1, "EUR")
LARGEST: Final = Money(99_999_999_999, "EUR")
REFERENCE_BODY: Final = 12
"""Characters after the check digits of the references that we make. All have one length, so that one is found in a
text without a guess at where it ends."""

_IBAN: Final = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z0-9]{11,30}")
_BIC: Final = re.compile(r"[A-Z]{4}[A-Z]{2}[A-Z0-9]{2}(?:[A-Z0-9]{3})?")
_REFERENCE: Final = re.compile(r"RF[0-9]{2}[A-Z0-9]{1,21}")
_PURPOSE: Final = re.compile(r"[A-Z0-9]{0,4}")
_AMOUNT: Final = re.compile(r"EUR([0-9]{1,9})(?:\.([0-9]{1,2}))?")

IBAN_LENGTHS: Final[Mapping[str, int]] = MappingProxyType(
    {
        **{"AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BI": 27},
        **{"BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27, "DK": 18, "DO": 28},
        **{"EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23},
        **{"GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27},
        **{"JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25},
        **{"MC": 27, "MD": 24, "ME": 22, "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18},
        **{"NO": 15, "OM": 23, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33},
        **{"SA": 24, "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28},
        **{"TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30},
    }
)
"""Characters of an IBAN by country (SWIFT's IBAN registry)."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "iban.malformed": "That is not an IBAN: it begins with two letters and two digits, such as DE89 3704 0044 …",
        "iban.length": "An IBAN of {country} has {expected} characters, this one has {found}.",
        "iban.check": "The check digits of this IBAN do not fit: is there a typing mistake?",
        "bic.malformed": "That is not a BIC: it has 8 or 11 letters and digits, such as COBADEFFXXX.",
        "reference.malformed": "That is not a creditor reference (RF…).",
        "reference.check": "The check digits of this reference do not fit.",
        "epc.name": "The name of an account holder has 1 to 70 characters in one line.",
        "epc.amount": "A QR code for a bank transfer is for 0.01 to 999999999.99 EUR.",
        "epc.purpose": "A purpose has up to 4 capital letters and digits.",
        "epc.text": "The text for the payee has up to 140 characters in one line, and none beside a reference.",
        "epc.information": "The text for the payer has up to 70 characters in one line.",
        "epc.size": "There is too much text for a QR code.",
        "epc.malformed": "That is not a QR code for a bank transfer.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class SepaError(ValueError):
    """What cannot stand on a transfer. ``msgid`` with ``values`` is the sentence; nothing of it is what was given."""

    def __init__(self, code: str, **values: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.msgid = MESSAGES[code]
        self.values = values

    @property
    def human(self) -> str:
        """The sentence in English."""
        return self.msgid.format(**self.values)


def _mod97(text: str) -> int:
    """ISO 7064: letters count 10 to 35."""
    return int("".join(str(int(char, 36)) for char in text)) % 97


def _compact(text: str) -> str:
    return "".join(text.split()).upper()


def iban(text: str) -> str:
    """The IBAN that was written, in capitals without spaces. Raises :class:`SepaError`."""
    found = _compact(text)
    if not found.isascii() or not _IBAN.fullmatch(found):
        raise SepaError("iban.malformed")
    country = found[:2]
    expected = IBAN_LENGTHS.get(country)
    if expected is not None and len(found) != expected:
        raise SepaError("iban.length", country=country, expected=expected, found=len(found))
    if _mod97(found[4:] + found[:4]) != 1:
        raise SepaError("iban.check")
    return found


def grouped(number: str) -> str:
    """An IBAN or a reference in groups of four, as people read it."""
    return " ".join(number[start : start + 4] for start in range(0, len(number), 4))


def masked(number: str) -> str:
    """An IBAN of which only the country and the end are shown."""
    return f"{number[:2]}…{number[-4:]}"


def bic(text: str) -> str:
    """The BIC (ISO 9362) that was written, in capitals. Raises :class:`SepaError`."""
    found = _compact(text)
    if not found.isascii() or not _BIC.fullmatch(found):
        raise SepaError("bic.malformed")
    return found


def reference_of(body: str) -> str:
    """The creditor reference with this body: ``RF`` and check digits before it."""
    made = _compact(body)
    if not made.isascii() or not re.fullmatch(r"[A-Z0-9]{1,21}", made):
        raise SepaError("reference.malformed")
    return f"RF{98 - _mod97(made + 'RF00'):02d}{made}"


def reference(text: str) -> str:
    """The creditor reference that was written, in capitals without spaces. Raises :class:`SepaError`."""
    found = _compact(text)
    if not found.isascii() or not _REFERENCE.fullmatch(found):
        raise SepaError("reference.malformed")
    if _mod97(found[4:] + found[:4]) != 1:
        raise SepaError("reference.check")
    return found


def references_in(text: str, body: int = REFERENCE_BODY) -> tuple[str, ...]:
    """Every valid reference with a body of this length that stands in a text, spaces and line ends aside."""
    whole = _compact(text)
    length = 4 + body
    found: dict[str, None] = {}
    for match in re.finditer("(?=RF[0-9]{2})", whole):
        piece = whole[match.start() : match.start() + length]
        whole_one = len(piece) == length and piece.isascii() and _REFERENCE.fullmatch(piece)
        if whole_one and _mod97(piece[4:] + piece[:4]) == 1:
            found[piece] = None
    return tuple(found)


@dataclass(frozen=True, slots=True)
class CreditTransfer:
    """A transfer to be made, as the QR code says it."""

    name: str
    iban: str
    amount: Money | None
    bic: str = ""
    reference: str = ""
    """A creditor reference; then there is no ``text``."""
    text: str = ""
    purpose: str = ""
    information: str = ""
    """For the payer alone."""

    def __post_init__(self) -> None:
        if not self.name or len(self.name) > 70 or not self.name.isprintable():
            raise SepaError("epc.name")
        if iban(self.iban) != self.iban:
            raise SepaError("iban.malformed")
        if self.bic and bic(self.bic) != self.bic:
            raise SepaError("bic.malformed")
        if self.amount is not None and (self.amount.currency != "EUR" or not SMALLEST <= self.amount <= LARGEST):
            raise SepaError("epc.amount")
        if self.reference and reference(self.reference) != self.reference:
            raise SepaError("reference.malformed")
        if len(self.text) > 140 or not self.text.isprintable() or (self.text and self.reference):
            raise SepaError("epc.text")
        if not _PURPOSE.fullmatch(self.purpose):
            raise SepaError("epc.purpose")
        if len(self.information) > 70 or not self.information.isprintable():
            raise SepaError("epc.information")


def payload(transfer: CreditTransfer) -> str:
    """What the QR code holds: one element a line, empty ones at the end left out.

    Raises:
        SepaError: it is longer than the code may be.
    """
    amount = "" if transfer.amount is None else f"EUR{transfer.amount.amount:.2f}"
    elements = [
        *("BCD", "002", "1", "SCT"),  # service, version, UTF-8, SEPA credit transfer
        *(transfer.bic, transfer.name, transfer.iban, amount, transfer.purpose),
        *(transfer.reference, transfer.text, transfer.information),
    ]
    while not elements[-1]:
        elements.pop()
    made = "\n".join(elements)
    if len(made.encode()) > MAX_BYTES:
        raise SepaError("epc.size")
    return made


def read_payload(text: str) -> CreditTransfer:
    """The transfer that a QR code asks for. Raises :class:`SepaError`."""
    lines = text.replace("\r\n", "\n").removesuffix("\n").split("\n")
    if len(lines) > 12 or len(lines) < 7 or (lines[0], lines[2], lines[3]) != ("BCD", "1", "SCT"):
        raise SepaError("epc.malformed")
    lines += [""] * (12 - len(lines))
    if lines[1] not in {"001", "002"} or (lines[1] == "001" and not lines[4]):
        raise SepaError("epc.malformed")
    amount = None
    if lines[7]:
        match = _AMOUNT.fullmatch(lines[7])
        if match is None:
            raise SepaError("epc.malformed")
        amount = Money(int(match[1]) * 100 + int((match[2] or "").ljust(2, "0")), "EUR")
    return CreditTransfer(
        name=lines[5],
        iban=iban(lines[6]),
        amount=amount,
        bic=bic(lines[4]) if lines[4] else "",
        reference=reference(lines[9]) if lines[9] else "",
        text=lines[10],
        purpose=lines[8],
        information=lines[11],
    )
