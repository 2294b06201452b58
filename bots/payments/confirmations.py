"""How payers confirm: one-time codes in their direct chat with the wallet, or the page that asks for the PIN.

A code is bound to its payment, the payer, the amount, the payee, its expiry and the room it is shown in: what is stored
is a keyed hash of all of these. It counts once. Wrong ones count for the person, whichever payments they were for; too
many lock confirming by code, each further time for twice as long, and end the codes there are.
"""

from __future__ import annotations

import hmac
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from bots.domain.payments import ENDED, Payment, PaymentRefused, PaymentState, Refusal
from bots.framework.clock import from_ms
from bots.payments.moving import Mover
from bots.payments.outcomes import Also, Confirmed, ConfirmOutcome
from bots.payments.records import pack, unpack
from bots.payments.till import Step, Till
from bots.store import payments as store
from bots.store.payments import CodeRow, PersonRow

DIGITS: Final = 6
KNOWN_MS: Final = 86_400_000
"""How long an old code is told from a wrong one; and without a wrong code for so long, locks begin anew."""
LOCK_MAX_MS: Final = 86_400_000
DRAWS: Final = 50

O = ConfirmOutcome  # noqa: E741
COUNTED: Final = frozenset({O.WRONG_CODE, O.NOT_YOURS, O.WRONG_ROOM, O.OTHER_PAYMENT})
"""What counts as a wrong code."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Somebody confirms by a code.

    Attributes:
        payment_id: the payment they named, where they named one: then only its code does.
    """

    payer: str
    code: str
    room_id: str
    event_id: str
    payment_id: str | None = None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a challenge has made: a code, or None where the PIN page is asked for."""

    payment: Payment
    code: str | None
    expires_at: int


class Confirmations:
    """Codes and what becomes of them. Every method runs inside a commit."""

    def __init__(self, till: Till, mover: Mover, randbelow: Callable[[int], int]) -> None:
        """
        Args:
            randbelow: ``secrets.randbelow``: where codes come from.
        """
        self._till = till
        self._mover = mover
        self._randbelow = randbelow

    def challenge(self, step: Step, payment_id: str, payer: str, room_id: str) -> Shown:
        """Make a new code, or open the way to the PIN page; older ones of the payment die.

        Raises:
            PaymentRefused: there is nothing for this person to confirm, or confirming is locked.
        """
        person = store.lock_person(step.connection, payer)
        payment = self._till.lock(step, payment_id)
        if payment.payer != payer:
            raise PaymentRefused("payments.not_yours")
        if not payment.open:
            raise PaymentRefused("payments.wrong_state", state=payment.state.value)
        if payment.withdrawn_at is not None:
            raise PaymentRefused("payments.withdrawn")
        if payment.expires_at <= step.now:
            raise PaymentRefused("payments.too_late")
        by_page = self._till.settings.needs_pin(payment.amount)
        if not by_page and _locked(person, step.now):
            raise PaymentRefused("payments.locked", until=from_ms(person.locked_until or 0))
        expires_at = min(payment.expires_at, step.now + self._till.settings.code_ttl)
        number = store.last_number(step.connection, payment_id) + 1
        code, digest = None, b""
        if not by_page:
            code = self._drawn(step, payer)
            digest = self._digest(code, payment, room_id, expires_at, number)
        way = "page" if by_page else "code"
        row = CodeRow(payment_id, number, payer, room_id, way, digest, "open", step.now, expires_at)
        store.add_code(step.connection, row)
        step.note(payer, "payment.challenge", payment_id, way)
        return Shown(payment, code, expires_at)

    def confirm(self, step: Step, attempt: Attempt) -> Confirmed:
        """Take a code. The same message again is answered what it was answered before, and changes nothing."""
        person = store.lock_person(step.connection, attempt.payer)
        before = store.confirmation(step.connection, attempt.event_id)
        if before is not None:
            return self._repeated(step, attempt, before)
        if _locked(person, step.now):
            return self._answered(step, attempt, Confirmed(O.LOCKED, until=person.locked_until))
        found, code, payment = self._found(step, attempt)
        if found is None:
            assert code is not None
            assert payment is not None
            store.use_code(step.connection, code)
            store.change_person(step.connection, attempt.payer, failures=0)
            answer = self._taken(step, attempt.payer, payment)
        elif found in COUNTED:
            answer = self._counted(step, attempt.payer, person, found)
        else:
            answer = Confirmed(found, payment)
        return self._answered(step, attempt, answer)

    def approve(self, step: Step, payment_id: str, payer: str, also: Also | None = None) -> Confirmed:
        """Take the PIN page's word that it was the payer: only for a payment that is confirmed so, and once.

        Args:
            also: uses the page's link up, when the word is taken.
        """
        store.lock_person(step.connection, payer)
        try:
            payment = self._till.lock(step, payment_id)
        except PaymentRefused:
            answer = Confirmed(O.NOTHING_OPEN)
        else:
            answer = self._approved(step, payment, payer, also)
        step.note(payer, "payment.approve", payment_id, _word(answer))
        return answer

    def _approved(self, step: Step, payment: Payment, payer: str, also: Also | None) -> Confirmed:
        if payment.payer != payer:
            return Confirmed(O.NOT_YOURS)
        if not payment.open:
            return _closed(payment)
        way = store.page_of(step.connection, payment.id, payer)
        if way is None:
            return Confirmed(O.NOTHING_OPEN, payment)
        if way.expires_at <= step.now:
            return Confirmed(O.EXPIRED, payment)
        store.use_code(step.connection, way)
        if also is not None:
            also(step.connection)
        return self._taken(step, payer, payment, pin=True)

    # Codes

    def _drawn(self, step: Step, payer: str) -> str:
        """A code that is none of the person's open ones, so that a code says which payment is meant."""
        taken = [row for row, _ in self._codes(step, payer, "") if row.state == "open" and row.payer == payer]
        payments = {row.payment_id: self._payment(step, row) for row in taken}
        for _ in range(DRAWS):
            code = f"{self._randbelow(10**DIGITS):0{DIGITS}d}"
            if not any(self._is(code, row, payments[row.payment_id]) for row in taken):
                return code
        raise RuntimeError("no code could be drawn")

    def _codes(self, step: Step, payer: str, room_id: str) -> list[tuple[CodeRow, bool]]:
        """What a person was given lately, and what was shown to others in the room; whether it is still good."""
        rows = store.codes(step.connection, payer, room_id, step.now - KNOWN_MS)
        return [(row, row.state == "open" and row.expires_at > step.now) for row in rows if row.way == "code"]

    def _payment(self, step: Step, row: CodeRow) -> Payment | None:
        found = store.get(step.connection, row.payment_id)
        return None if found is None else self._till.opened(found)

    def _digest(self, code: str, payment: Payment, room_id: str, expires_at: int, number: int) -> bytes:
        amount = payment.amount
        bound = (payment.id, payment.payer, amount.minor, amount.currency, payment.payee, expires_at, room_id, number)
        return self._till.mac("code", code, *bound)

    def _is(self, code: str, row: CodeRow, payment: Payment | None) -> bool:
        """Whether a code is the one of a row, compared in constant time."""
        if payment is None or payment.payer != row.payer:
            return False
        digest = self._digest(code, payment, row.room_id, row.expires_at, row.number)
        return hmac.compare_digest(digest, row.digest)

    def _found(self, step: Step, attempt: Attempt) -> tuple[ConfirmOutcome | None, CodeRow | None, Payment | None]:
        """What a code is: of which row and payment, and what is wrong with it; None: nothing is."""
        code = _digits(attempt.code)
        rows = self._codes(step, attempt.payer, attempt.room_id)
        payments = {row.payment_id: self._payment(step, row) for row, _ in rows}
        matches = [(row, good) for row, good in rows if self._is(code, row, payments[row.payment_id])]
        own = [(row, good) for row, good in matches if row.payer == attempt.payer]
        for row, good in sorted(own, key=lambda each: not each[1]):
            payment = payments[row.payment_id]
            assert payment is not None
            return self._judged(step, attempt, row, payment, good), row, payment
        if any(good for _, good in matches):
            return O.NOT_YOURS, None, None
        if not any(good for row, good in rows if row.payer == attempt.payer):
            return O.NOTHING_OPEN, None, None
        return O.WRONG_CODE, None, None

    def _judged(
        self, step: Step, attempt: Attempt, row: CodeRow, payment: Payment, good: bool
    ) -> ConfirmOutcome | None:
        if row.room_id != attempt.room_id:
            return O.WRONG_ROOM
        if attempt.payment_id is not None and attempt.payment_id != row.payment_id:
            return O.OTHER_PAYMENT
        if good:
            return None
        if row.state == "replaced":
            return O.REPLACED
        if row.state == "used" and not payment.open:
            return _closed(payment).outcome
        return O.EXPIRED

    # What a right one does

    def _taken(self, step: Step, payer: str, payment: Payment, *, pin: bool = False) -> Confirmed:
        payment = self._till.lock(step, payment.id)
        if not payment.open:
            return _closed(payment)
        if payment.withdrawn_at is not None:
            return Confirmed(O.ENDED, payment)
        if payment.expires_at <= step.now:
            return Confirmed(O.EXPIRED, payment)
        if self._till.settings.needs_pin(payment.amount) and not pin:
            return Confirmed(O.REFUSED, payment, refusal=Refusal.of("payments.pin_required"))
        payment, refusal = self._mover.confirm(step, payment, payer)
        if refusal is not None:
            return Confirmed(O.REFUSED, payment, refusal=refusal)
        return Confirmed(O.PAID if payment.state is PaymentState.PAID else O.HELD, payment)

    def _counted(self, step: Step, payer: str, person: PersonRow, outcome: ConfirmOutcome) -> Confirmed:
        """A wrong code: one less is left, or confirming locks."""
        settings, now = self._till.settings, step.now
        quiet = person.failed_at is None or now - max(person.failed_at, person.locked_until or 0) >= KNOWN_MS
        level, failures = (0 if quiet else person.level), (0 if quiet else person.failures) + 1
        if failures < settings.code_attempts:
            store.change_person(step.connection, payer, failures=failures, level=level, failed_at=now)
            return Confirmed(outcome, left=settings.code_attempts - failures)
        lasts = min(settings.code_lock << min(level, 20), max(LOCK_MAX_MS, settings.code_lock))
        until = now + lasts
        store.change_person(step.connection, payer, failures=0, level=level + 1, failed_at=now, locked_until=until)
        store.end_codes(step.connection, payer)
        step.note(payer, "payment.lock", "-", "locked", until=until, level=level + 1)
        return Confirmed(outcome, left=0, until=until)

    # Answers

    def _answered(self, step: Step, attempt: Attempt, answer: Confirmed) -> Confirmed:
        payment_id = "" if answer.payment is None else answer.payment.id
        details = self._till.sealer.seal(
            pack(answer.left, answer.until, answer.refusal), f"payment_confirmations:{attempt.event_id}"
        )
        row = {
            "event_id": attempt.event_id,
            "payer": attempt.payer,
            "payment_id": payment_id,
            "outcome": answer.outcome.value,
            "details": details,
            "at": step.now,
        }
        store.add_confirmation(step.connection, row)
        step.note(attempt.payer, "payment.confirm", payment_id or "-", _word(answer), event=attempt.event_id)
        return answer

    def _repeated(self, step: Step, attempt: Attempt, row: Any) -> Confirmed:
        if row["payer"] != attempt.payer:
            return Confirmed(O.NOT_YOURS)
        opened = self._till.sealer.open(bytes(row["details"]), f"payment_confirmations:{attempt.event_id}")
        left, until, refusal = unpack(opened)
        found = store.get(step.connection, row["payment_id"]) if row["payment_id"] else None
        payment = None if found is None else self._till.opened(found)
        return Confirmed(ConfirmOutcome(row["outcome"]), payment, left, until, refusal, repeated=True)


def _locked(person: PersonRow, now: int) -> bool:
    return person.locked_until is not None and person.locked_until > now


def _closed(payment: Payment) -> Confirmed:
    """What is said of a payment that waits for nobody any more."""
    if payment.state is PaymentState.EXPIRED:
        return Confirmed(O.EXPIRED, payment)
    return Confirmed(O.ENDED if payment.state in ENDED else O.ALREADY, payment)


def _word(answer: Confirmed) -> str:
    """For the audit log."""
    return answer.outcome.value if answer.refusal is None else f"refused:{answer.refusal.code}"


def _digits(code: str) -> str:
    """A code as it was drawn, in whichever digits it was typed; spaces and hyphens between them are no matter."""
    digits: Sequence[str] = [char for char in code.strip() if not char.isspace() and char not in "-\u2013"]
    return "".join(str(unicodedata.decimal(char, char)) for char in digits)
