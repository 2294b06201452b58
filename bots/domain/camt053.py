"""Statements in camt.053 (ISO 20022, "BankToCustomerStatement"): versions 02 to 13 differ little in what is read here.

Booked entries only. The file must be whole, and opening balance and entries must make the closing balance.
"""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Final

from bots.domain.currencies import CURRENCIES
from bots.domain.money import Money, MoneyError
from bots.domain.statements import Entry, Node, Statement, StatementError, chained, known_reference

_AMOUNT: Final = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,5})?")
OPENING: Final = ("OPBD", "PRCD")
CLOSING: Final = ("CLBD",)


def read(document: Node) -> list[Statement]:
    """The statements of a file. Raises :class:`StatementError`."""
    body = document.first("BkToCstmrStmt")
    if document.name != "Document" or body is None:
        other = next((child.name for child in document.children), document.name)
        raise StatementError(document.line, f"this is no camt.053 statement but {other[:40]!r}")
    statements = [_statement(node) for node in body.all("Stmt")]
    if not statements:
        raise StatementError(body.line, "there is no statement in it")
    chained(statements)
    return statements


def _statement(node: Node) -> Statement:
    account = node.words("Acct/Id/IBAN", "Acct/Id/Othr/Id")
    if not account:
        raise StatementError(node.line, "the statement names no account")
    entries: list[Entry] = []
    for entry in node.all("Ntry"):
        status = entry.words("Sts/Cd", "Sts")
        if status not in {"BOOK", "PDNG", "INFO", "FUTR"}:
            raise StatementError(entry.line, "an entry does not say whether it is booked")
        if status == "BOOK":
            entries.extend(_entry(entry))
    return Statement(
        line=node.line,
        account="".join(account.split()).upper(),
        number=node.words("Id") or node.words("ElctrncSeqNb"),
        opening=_balance(node, OPENING, "opening"),
        closing=_balance(node, CLOSING, "closing"),
        entries=tuple(entries),
    )


def _balance(node: Node, codes: tuple[str, ...], name: str) -> Money:
    found = {balance.words("Tp/CdOrPrtry/Cd"): balance for balance in node.all("Bal")}
    for code in codes:
        if code in found:
            return _signed(found[code], _amount(found[code]))
    raise StatementError(node.line, f"the statement has no {name} balance")


def _amount(node: Node, *paths: str) -> Money:
    amount = node.first(*(paths or ("Amt",)))
    if amount is None:
        raise StatementError(node.line, "an amount is missing")
    currency = amount.attributes.get("Ccy", "")
    if not _AMOUNT.fullmatch(amount.text) or currency not in CURRENCIES:
        raise StatementError(amount.line, "an amount is none, or its currency is not known")
    try:
        return Money.of(Decimal(amount.text), currency)
    except (MoneyError, InvalidOperation):
        raise StatementError(amount.line, f"an amount has more decimals than {currency}, or is too large") from None


def _signed(node: Node, amount: Money) -> Money:
    mark = node.words("CdtDbtInd")
    if mark not in {"CRDT", "DBIT"}:
        raise StatementError(node.line, "an amount is marked neither credit nor debit")
    return amount if mark == "CRDT" else -amount


def _day(node: Node, *names: str) -> date:
    for name in names:
        text = node.words(f"{name}/Dt", f"{name}/DtTm")
        if text:
            try:
                return date.fromisoformat(text[:10])
            except ValueError:
                found = node.first(name)
                raise StatementError(found.line if found else node.line, "a date is none") from None
    raise StatementError(node.line, "an entry has no date")


def _entry(node: Node) -> list[Entry]:
    """An entry, or its parts when it stands for several payments whose amounts are given and add up."""
    whole = _signed(node, _amount(node))
    booked = _day(node, "BookgDt", "ValDt")
    flag = node.words("RvslInd").lower()
    if flag not in {"", "true", "false", "1", "0"}:
        raise StatementError(node.line, "the mark of a reversal is neither true nor false")
    reversal = flag in {"true", "1"}
    reference = known_reference(node.words("AcctSvcrRef"))
    details = node.all("NtryDtls/TxDtls")
    if len(details) > 1:
        parts = [_part(detail, whole) for detail in details]
        amounts = [part for part in parts if part is not None]
        if len(amounts) == len(details) and sum(part.minor for part in amounts) == whole.minor:
            return [
                _made(detail, node, part, booked, reversal, reference)
                for detail, part in zip(details, amounts, strict=True)
            ]
        # What the parts do not account for is nobody's guess: one entry, without a reference.
        return [Entry(node.line, booked, whole, reference, batch=_batch(node), reversal=reversal)]
    detail = details[0] if details else Node("TxDtls", node.line)
    return [_made(detail, node, whole, booked, reversal, reference)]


def _part(detail: Node, whole: Money) -> Money | None:
    """What one of several payments makes of the entry; None when it does not say so in the account's currency."""
    if detail.first("Amt", "AmtDtls/TxAmt/Amt") is None:
        return None
    amount = _amount(detail, "Amt", "AmtDtls/TxAmt/Amt")
    if amount.currency != whole.currency:
        return None
    mark = detail.words("CdtDbtInd")
    if mark:
        return _signed(detail, amount)
    return amount if whole.minor >= 0 else -amount


def _batch(node: Node) -> str:
    return known_reference(node.words("NtryDtls/Btch/PmtInfId", "NtryDtls/TxDtls/Refs/PmtInfId"))


def _made(detail: Node, node: Node, amount: Money, booked: date, reversal: bool, reference: str) -> Entry:
    other = "Dbtr" if (amount.minor >= 0) != reversal else "Cdtr"
    parties = detail.first("RltdPties") or Node("RltdPties", detail.line)
    remittance = [piece.text for piece in detail.all("RmtInf/Ustrd")]
    return Entry(
        line=detail.line,
        booked_on=booked,
        amount=amount,
        bank_reference=known_reference(detail.words("Refs/AcctSvcrRef")) or reference,
        end_to_end=known_reference(detail.words("Refs/EndToEndId")),
        batch=known_reference(detail.words("Refs/PmtInfId")) or _batch(node),
        reference="".join(detail.words("RmtInf/Strd/CdtrRefInf/Ref").split()).upper(),
        text=" ".join(remittance) or detail.words("AddtlTxInf") or node.words("AddtlNtryInf"),
        name=parties.words(f"{other}/Pty/Nm", f"{other}/Nm"),
        iban="".join(parties.words(f"{other}Acct/Id/IBAN").split()).upper(),
        reversal=reversal or detail.first("RtrInf") is not None,
    )
