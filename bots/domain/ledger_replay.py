"""The ledger made anew from its journal, to find out whether both are whole.

Memory grows with the accounts and the open pending transfers, not with the journal.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from bots.domain.ledger import Account, Pending, Refusal
from bots.domain.ledger_journal import GENESIS, MOVES, Entry, EntryType, Head, chained, owner_hash

__all__ = ["PROBLEMS_MAX", "Problem", "Replay"]

PROBLEMS_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is not as it must be. ``where``: an entry ("entry 12"), an account or a pending transfer."""

    code: str
    where: str
    text: str


@dataclass(slots=True)
class _Sums:
    """What the journal says of an account so far."""

    currency: str
    kind: str
    floor: int | None
    ceiling: int | None
    frozen: bool
    closed: bool
    owner: str
    debits: int = 0
    credits: int = 0
    pending_debits: int = 0
    pending_credits: int = 0
    postings: int = 0

    @property
    def net(self) -> int:
        return self.credits - self.debits


@dataclass(slots=True)
class Replay:
    """Takes the entries in order, then the accounts and the pending transfers, each in the order of their ids."""

    head: Head = GENESIS
    problems: list[Problem] = field(default_factory=list)
    found: int = 0
    """How many problems there are; ``problems`` holds the first of them."""
    counts: Counter[str] = field(default_factory=Counter)
    """How many entries of each type there are."""
    _accounts: dict[str, _Sums] = field(default_factory=dict)
    _pendings: dict[str, Pending] = field(default_factory=dict)
    _chain: tuple[int, bool] = (0, False)

    # --- the journal

    def take(self, entries: Iterable[Entry]) -> None:
        """Take the next entries."""
        for entry in entries:
            self._take(entry)

    def _take(self, entry: Entry) -> None:
        where = f"entry {entry.seq}"
        if entry.seq != self.head.seq + 1:
            self._problem("gap", where, f"it follows entry {self.head.seq}")
        if entry.at < self.head.at:
            self._problem("time", where, "it is older than the one before it")
        if entry.hash != chained(self.head.hash, entry):
            self._problem("hash", where, "it, or the one before it, is not as it was written")
        if entry.memo is not None and (sha256(entry.memo).digest() if entry.memo else None) != entry.memo_hash:
            self._problem("memo", where, "its memo is not as it was written")
        self.head = Head(entry.seq, entry.at, entry.hash)
        self.counts[entry.type] += 1
        refused = entry.type == EntryType.REFUSAL
        if entry.chain == entry.seq:
            self._chain = (entry.seq, refused)
        elif self._chain != (entry.chain, refused):
            self._problem("chain", where, "its linked chain was not done or refused as one")
        if refused:
            if entry.refusal not in set(Refusal):
                self._problem("refusal", where, "no reason for the refusal")
        elif entry.type in (EntryType.OPENED, EntryType.CHANGED):
            self._terms(entry, where)
        else:
            self._transfer(entry, where)

    def _terms(self, entry: Entry, where: str) -> None:
        subject = entry.subject or ""
        try:
            terms = _Sums(**json.loads(entry.details))
        except (ValueError, TypeError):
            self._problem("account", where, "the terms of an account cannot be read")
            return
        sums = self._accounts.get(subject)
        if entry.type == EntryType.OPENED:
            if sums is not None:
                self._problem("account", where, "it opens an account again")
            self._accounts[subject] = terms
            return
        if sums is None:
            self._problem("account", where, "it changes an account that was never opened")
            return
        if (terms.currency, terms.kind) != (sums.currency, sums.kind):
            self._problem("account", where, "it changes an account's currency or kind")
        sums.floor, sums.ceiling, sums.owner = terms.floor, terms.ceiling, terms.owner
        sums.frozen, sums.closed = terms.frozen, terms.closed
        if sums.closed and (sums.net or sums.pending_debits or sums.pending_credits):
            self._problem("account", where, "it closes an account with money in it or on its way")

    def _transfer(self, entry: Entry, where: str) -> None:
        debit, credit = self._accounts.get(entry.debit or ""), self._accounts.get(entry.credit or "")
        if debit is None or credit is None or debit is credit:
            self._problem("account", where, "it names no two accounts")
            return
        if not debit.currency == entry.currency == credit.currency:
            self._problem("currency", where, "it mixes currencies")
        if entry.amount <= 0:
            self._problem("amount", where, "its amount is not above nought")
        if entry.type in (EntryType.TRANSFER, EntryType.PENDING):
            if debit.frozen or credit.frozen or debit.closed or credit.closed:
                self._problem("state", where, "an account of it was frozen or closed")
            if credit.ceiling is not None and credit.net + credit.pending_credits + entry.amount > credit.ceiling:
                self._problem("ceiling", where, "the account credited rises above its ceiling")
        if entry.type == EntryType.PENDING:
            self._hold(entry, debit, credit)
        elif entry.type != EntryType.TRANSFER:
            self._resolve(entry, where, debit, credit)
        if entry.type in MOVES:
            debit.debits += entry.amount
            credit.credits += entry.amount
            debit.postings += 1
            credit.postings += 1
        elif entry.debit_posting is not None or entry.credit_posting is not None:
            self._problem("posting", where, "it is a posting, and moves nothing")
        self._after(entry, where, debit, credit)

    def _hold(self, entry: Entry, debit: _Sums, credit: _Sums) -> None:
        debit.pending_debits += entry.amount
        credit.pending_credits += entry.amount
        self._pendings[entry.id or ""] = Pending(
            entry.id or "",
            entry.debit or "",
            entry.credit or "",
            entry.amount,
            entry.currency,
            entry.kind,
            entry.reference,
            entry.expires_at,
        )

    def _resolve(self, entry: Entry, where: str, debit: _Sums, credit: _Sums) -> None:
        pending = self._pendings.pop(entry.subject or "", None)
        if pending is None:
            self._problem("pending", where, "it resolves what is not pending")
            return
        if (pending.debit, pending.credit) != (entry.debit, entry.credit) or entry.amount > pending.amount:
            self._problem("pending", where, "it resolves more than, or other accounts than, what was pending")
        if entry.type == EntryType.EXPIRE and (pending.expires_at is None or pending.expires_at > entry.at):
            self._problem("pending", where, "it expires what had time left")
        debit.pending_debits -= pending.amount
        credit.pending_credits -= pending.amount

    def _after(self, entry: Entry, where: str, debit: _Sums, credit: _Sums) -> None:
        if entry.type in MOVES:
            if (entry.debit_posting, entry.credit_posting) != (debit.postings, credit.postings):
                self._problem("posting", where, "its postings are not the next ones of its accounts")
            if (entry.debit_after, entry.credit_after) != (debit.net, credit.net):
                self._problem("balance", where, "the balances after it are not what the journal adds up to")
        for sums, account in ((debit, entry.debit), (credit, entry.credit)):
            if sums.floor is not None and sums.net - sums.pending_debits < sums.floor:
                self._problem("floor", where, f"account {account} falls below its floor")

    # --- what it adds up to

    def compare_head(self, head: Head) -> None:
        """The head must be the last entry."""
        if head != self.head:
            self._problem("head", "the head", f"it is entry {head.seq}, and the journal ends with {self.head.seq}")

    def compare_accounts(self, accounts: Iterable[tuple[Account, bytes]]) -> None:
        """Compare accounts, each with the salt of its owner's hash."""
        for account, salt in accounts:
            sums = self._accounts.get(account.id)
            where = f"account {account.id}"
            if sums is None:
                self._problem("account", where, "the journal does not know it, or it was there twice")
                continue
            del self._accounts[account.id]
            for name in ("debits", "credits", "pending_debits", "pending_credits", "postings"):
                if getattr(account, name) != getattr(sums, name):
                    text = f"{name} is {getattr(account, name)}; the journal adds up to {getattr(sums, name)}"
                    self._problem("balance", where, text)
            for name in ("currency", "kind", "floor", "ceiling", "frozen", "closed"):
                if getattr(account, name) != getattr(sums, name):
                    self._problem("terms", where, f"{name} is not what the journal says")
            if owner_hash(salt, account.owner) != sums.owner:
                self._problem("owner", where, "its owner is not who the journal says")

    def compare_pendings(self, pendings: Iterable[Pending]) -> None:
        """Compare open pending transfers."""
        for pending in pendings:
            if self._pendings.pop(pending.id, None) != pending:
                self._problem("pending", f"pending transfer {pending.id}", "it is not what the journal says")

    def finish(self, totals: dict[str, int]) -> None:
        """What must hold when all were compared. ``totals``: the sum of all balances by currency."""
        for account_id in self._accounts:
            self._problem("account", f"account {account_id}", "it is in the journal only")
        for pending_id in self._pendings:
            self._problem("pending", f"pending transfer {pending_id}", "it is in the journal only")
        for currency, total in totals.items():
            if total:
                self._problem("total", currency, f"all balances add up to {total}, not to nought")

    def over_reversed(self, transfers: Iterable[tuple[str, int, int]]) -> None:
        """Transfers that were reversed by more than they moved."""
        for transfer_id, moved, taken in transfers:
            self._problem("reversal", f"transfer {transfer_id}", f"of {moved} that it moved {taken} were reversed")

    def missing(self, where: str, text: str) -> None:
        """An entry that was there once is not there any more."""
        self._problem("anchor", where, text)

    def _problem(self, code: str, where: str, text: str) -> None:
        self.found += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(code, where, text))
