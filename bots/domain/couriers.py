"""Couriers and their trips: who brings what, and the tables of what follows on what. Pure.

A trip is offered to one courier at a time, in turn; who says nothing for so long lets it pass on. What cannot be handed
over is brought back on a trip of its own, linked to the one that failed. A courier has one trip at a time.
"""

from __future__ import annotations

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from bots.domain.errors import DomainError
from bots.domain.money import Money
from bots.domain.places import Place

__all__ = [
    "COURIER_NEXT",
    "ENDED",
    "MESSAGES",
    "NEXT",
    "OFFERED_FOR",
    "TRIES_MAX",
    "Courier",
    "CourierAction",
    "CourierError",
    "CourierJob",
    "CourierState",
    "JobAction",
    "JobKind",
    "JobState",
    "Proof",
    "advance",
    "advance_courier",
    "masked",
    "next_courier",
    "return_of",
    "tried",
]

OFFERED_FOR: Final = timedelta(seconds=25)
"""How long a courier has to answer an offer."""
TRIES_MAX: Final = 5
"""Wrong PINs and codes; afterwards only a photo, or the operator, helps."""
PIN_DIGITS: Final = 4
NAME_MAX: Final = 60
VEHICLE_MAX: Final = 60


class CourierState(StrEnum):
    """Whether somebody brings things."""

    APPLIED = "applied"
    """The operator is asked."""
    OFFLINE = "offline"
    ONLINE = "online"
    """Trips are offered to them."""
    REJECTED = "rejected"
    SUSPENDED = "suspended"


class CourierAction(StrEnum):
    """What happens to a courier."""

    APPROVE = "approve"
    REJECT = "reject"
    GO_ONLINE = "go_online"
    GO_OFFLINE = "go_offline"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    APPLY_AGAIN = "apply_again"


C, D = CourierState, CourierAction
COURIER_NEXT: Final[Mapping[tuple[CourierState, CourierAction], CourierState]] = MappingProxyType(
    {
        (C.APPLIED, D.APPROVE): C.OFFLINE,
        (C.APPLIED, D.REJECT): C.REJECTED,
        (C.REJECTED, D.APPROVE): C.OFFLINE,
        (C.REJECTED, D.APPLY_AGAIN): C.APPLIED,
        (C.OFFLINE, D.GO_ONLINE): C.ONLINE,
        (C.ONLINE, D.GO_OFFLINE): C.OFFLINE,
        (C.OFFLINE, D.SUSPEND): C.SUSPENDED,
        (C.ONLINE, D.SUSPEND): C.SUSPENDED,
        (C.SUSPENDED, D.REINSTATE): C.OFFLINE,
    }
)
"""What follows on what; anything else is refused."""


class JobKind(StrEnum):
    """What a trip is for."""

    DELIVERY = "delivery"
    RETURN = "return"
    """Back to the merchant, after a delivery that failed."""


class JobState(StrEnum):
    """Where a trip stands."""

    SEARCHING = "searching"
    """Nobody has it before them."""
    OFFERED = "offered"
    """One courier is asked."""
    TAKEN = "taken"
    """The courier is on the way to the merchant."""
    CARRIED = "carried"
    """The courier has it."""
    DONE = "done"
    """It is where it belongs: with the buyer, or back with the merchant."""
    FAILED = "failed"
    """It could not be handed over; a return trip follows."""
    WITHDRAWN = "withdrawn"
    """Nobody needs it any more."""


class JobAction(StrEnum):
    """What happens to a trip."""

    OFFER = "offer"
    DECLINE = "decline"
    LAPSE = "lapse"
    """The courier has not answered in time."""
    ACCEPT = "accept"
    GIVE_UP = "give_up"
    """By the courier, before they have it."""
    PICK_UP = "pick_up"
    HAND_OVER = "hand_over"
    WAIT = "wait"
    """Nobody comes to the door."""
    FAIL = "fail"
    WITHDRAW = "withdraw"


S, A = JobState, JobAction
NEXT: Final[Mapping[tuple[JobState, JobAction], JobState]] = MappingProxyType(
    {
        (S.SEARCHING, A.OFFER): S.OFFERED,
        (S.OFFERED, A.DECLINE): S.SEARCHING,
        (S.OFFERED, A.LAPSE): S.SEARCHING,
        (S.OFFERED, A.ACCEPT): S.TAKEN,
        (S.TAKEN, A.GIVE_UP): S.SEARCHING,
        (S.TAKEN, A.PICK_UP): S.CARRIED,
        (S.CARRIED, A.WAIT): S.CARRIED,
        (S.CARRIED, A.HAND_OVER): S.DONE,
        (S.CARRIED, A.FAIL): S.FAILED,
        (S.SEARCHING, A.WITHDRAW): S.WITHDRAWN,
        (S.OFFERED, A.WITHDRAW): S.WITHDRAWN,
        (S.TAKEN, A.WITHDRAW): S.WITHDRAWN,
    }
)
"""What follows on what; anything else is refused."""

ENDED: Final = frozenset({S.DONE, S.FAILED, S.WITHDRAWN})
"""Nothing happens to it any more."""
BEFORE_PICKUP: Final = frozenset({S.SEARCHING, S.OFFERED, S.TAKEN})
"""Somebody else may still be asked."""
HAS_COURIER: Final = frozenset({S.TAKEN, S.CARRIED})
"""Somebody is on the way."""

WORDS: Final[Mapping[JobState, str]] = MappingProxyType(
    {
        S.SEARCHING: "looking for a courier",
        S.OFFERED: "looking for a courier",
        S.TAKEN: "a courier is on the way to the merchant",
        S.CARRIED: "with the courier",
        S.DONE: "done",
        S.FAILED: "not handed over",
        S.WITHDRAWN: "not needed any more",
    }
)
"""The state as people read it: English, for the translator."""
COURIER_WORDS: Final[Mapping[CourierState, str]] = MappingProxyType(
    {
        C.APPLIED: "waiting for approval",
        C.OFFLINE: "offline",
        C.ONLINE: "online",
        C.REJECTED: "rejected",
        C.SUSPENDED: "suspended by the operator",
    }
)
"""The same of couriers."""

VOCABULARIES: Final = (WORDS, COURIER_WORDS)
"""Tables whose values are translated."""

MESSAGES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "courier.refused": "That is not possible: you are {state}.",
        "courier.job_refused": "That is not possible any more: the trip is {state}.",
        "courier.name": "A name has 1 to {most} letters.",
        "courier.vehicle": "Say in 1 to {most} letters what you go by.",
        "courier.gone": "This trip is not offered to you any more.",
        "courier.busy": "You have a trip already: finish it first.",
        "courier.not_yours": "This trip is not yours.",
        "courier.no_photo": "A photo counts when the buyer wants it left at the door, after too many wrong PINs, or "
        "{minutes} minutes after you have said that nobody comes.",
        "courier.locked": "Too many wrong tries. Send a photo of where you leave it, or report that it failed.",
        "courier.pin": "A PIN has four digits.",
    }
)
"""The sentence of every code: English texts with named fields, for the translator."""


class CourierError(DomainError):
    """Something that cannot be done with a courier or a trip.

    A value named ``state`` is one of :data:`WORDS` or :data:`COURIER_WORDS`, to be translated.
    """

    messages = MESSAGES


class Proof(StrEnum):
    """What shows that it was handed over."""

    NONE = ""
    PIN = "pin"
    PHOTO = "photo"
    STAFF = "staff"
    """The merchant says so."""


@dataclass(frozen=True, slots=True)
class Courier:
    """Who brings things.

    Attributes:
        person: user id.
        name: as buyers and merchants see it; their account stays theirs.
        vehicle: what they go by, in their words.
        room_id: their own chat with the bot, where trips are offered.
        job: the id of the trip that they have; empty: none.
        asked_at: when they were last offered a trip; who waits longest is asked first.
        revision: counts the changes of what is stored.
    """

    person: str
    name: str
    vehicle: str
    room_id: str
    state: CourierState
    applied_at: datetime
    asked_at: datetime
    job: str = ""
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if not self.name.strip() or len(self.name) > NAME_MAX or not self.name.isprintable():
            raise CourierError("courier.name", most=NAME_MAX)
        if not self.vehicle.strip() or len(self.vehicle) > VEHICLE_MAX or not self.vehicle.isprintable():
            raise CourierError("courier.vehicle", most=VEHICLE_MAX)

    @property
    def free(self) -> bool:
        """Whether a trip can be offered to them."""
        return self.state is CourierState.ONLINE and not self.job


@dataclass(frozen=True, slots=True)
class CourierJob:
    """One trip.

    Attributes:
        id: of the trip, made of the order and how many trips there were before.
        order: id; ``number``: as people say it.
        merchant: id; ``seller``: their name; ``account``: the part of the bot's account that pays the courier.
        pickup, dropoff: from where, and where to.
        buyer: how the courier knows who gets it: a name that is no account.
        fee: what the courier gets for it; ``tip``: on top, once it is handed over.
        ready_at: when it can be picked up (aware); None: now.
        courier: user id of who is asked, or has it; empty: nobody.
        asked: who was asked in this round and did not take it; forgotten once it is picked up.
        offers: how many offers were made: an answer to an older one counts no more.
        rounds: how often all were asked.
        of: the trip that failed, of a return.
        tries: wrong PINs or codes at this stage.
        pickup_code: the merchant tells it to the courier, who types it.
        pin: the buyer tells it to the courier, who types it; of a return: the merchant does.
        note: how to find the door, in the buyer's words.
        failure: why it failed, in the courier's words.
        deadline: of the offer.
        never: user ids of those who do not bring it: who buys it; forgotten with ``asked``.
        leave: whether the buyer wants it left at the door.
        waits_from: when the courier has said that nobody comes to the door (aware); None: they have not.
        paid: whether the courier has got what they earned.
        revision: counts the changes of what is stored.
    """

    id: str
    order: str
    number: str
    merchant: str
    seller: str
    account: str
    kind: JobKind
    state: JobState
    pickup: Place
    dropoff: Place
    buyer: str
    fee: Money
    opened_at: datetime
    updated_at: datetime
    tip: Money | None = None
    ready_at: datetime | None = None
    courier: str = ""
    asked: tuple[str, ...] = ()
    offers: int = 0
    rounds: int = 0
    of: str = ""
    tries: int = 0
    pickup_code: str = field(default="", repr=False)
    pin: str = field(default="", repr=False)
    note: str = ""
    failure: str = ""
    proof: Proof = Proof.NONE
    deadline: datetime | None = None
    never: tuple[str, ...] = ()
    leave: bool = False
    waits_from: datetime | None = None
    paid: bool = False
    revision: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        for secret in (self.pickup_code, self.pin):
            if secret and (len(secret) != PIN_DIGITS or not (secret.isascii() and secret.isdecimal())):
                raise CourierError("courier.pin")
        if self.fee.minor < 0 or (self.tip is not None and self.tip.currency != self.fee.currency):
            raise ValueError("what a courier gets is not below nought, and in one currency")
        if (self.state in {S.OFFERED, S.TAKEN, S.CARRIED, S.DONE, S.FAILED}) != bool(self.courier):
            raise ValueError(f"a trip that is {self.state.value} has a courier, and only then")

    @property
    def earned(self) -> Money:
        """What the courier gets for it by now: nothing before it ended, the tip only when it was handed over."""
        if self.state is S.DONE and self.kind is JobKind.DELIVERY and self.tip is not None:
            return self.fee + self.tip
        return self.fee if self.state in {S.DONE, S.FAILED} else Money.zero(self.fee.currency)

    @property
    def owed(self) -> bool:
        """Whether the courier is still to be paid for it."""
        return bool(self.earned) and not self.paid

    @property
    def secret(self) -> str:
        """What the courier has to type next: the pickup code on the way there, the PIN afterwards."""
        return self.pickup_code if self.state is S.TAKEN else self.pin

    @property
    def locked(self) -> bool:
        """Whether nothing that is typed counts any more at this stage."""
        return self.tries >= TRIES_MAX

    def may_leave(self, at: datetime, wait: timedelta) -> bool:
        """Whether a photo counts instead of the PIN at a moment (aware): when the buyer wants it left at the door, when
        the PIN cannot be told any more, or when nobody has come for so long. What is brought back is handed over."""
        if self.state is not S.CARRIED or self.kind is not JobKind.DELIVERY:
            return False
        return self.leave or self.locked or (self.waits_from is not None and at >= self.waits_from + wait)

    def of_courier(self, person: str) -> CourierJob:
        """This trip, if it is theirs. Raises CourierError."""
        if self.courier != person:
            raise CourierError("courier.not_yours")
        return self


def advance(
    job: CourierJob, action: JobAction, at: datetime, *, within: timedelta | None = None, **changes: Any
) -> CourierJob:
    """The trip after an action.

    Args:
        at: now (aware).
        within: how long the new state waits for an answer; None: it waits for none.
        changes: other fields that change with it.

    Raises:
        CourierError: it does not follow on the state.
    """
    state = NEXT.get((job.state, action))
    if state is None:
        raise CourierError("courier.job_refused", job=job.id, state=WORDS[job.state], action=action.value)
    if action in {A.DECLINE, A.LAPSE, A.GIVE_UP}:
        changes = {"asked": (*job.asked, job.courier), **changes}
    if state in {S.SEARCHING, S.WITHDRAWN}:
        changes = {"courier": "", **changes}
    if state not in BEFORE_PICKUP:
        # Nobody is asked any more: who was, and who may not be, is nobody's affair from here on.
        changes = {"asked": (), "never": (), **changes}
    if state is not job.state:
        changes = {"tries": 0, **changes}
    deadline = None if within is None else at + within
    return replace(job, state=state, updated_at=at, deadline=deadline, **changes)


def tried(job: CourierJob, said: str) -> tuple[CourierJob, bool]:
    """What was typed, against the PIN or code: the trip with its tries counted, and whether it was right.

    Raises:
        CourierError: there were too many wrong ones before.
    """
    if job.locked:
        raise CourierError("courier.locked")
    # compare_digest takes the same time for each wrong one; without a secret nothing is right.
    right = hmac.compare_digest(said.encode(errors="replace"), job.secret.encode()) and bool(job.secret)
    return (job, True) if right else (replace(job, tries=job.tries + 1), False)


def advance_courier(courier: Courier, action: CourierAction) -> Courier:
    """The courier after an action. Raises CourierError: it does not follow on the state."""
    state = COURIER_NEXT.get((courier.state, action))
    if state is None:
        raise CourierError("courier.refused", state=COURIER_WORDS[courier.state])
    return replace(courier, state=state)


def next_courier(couriers: Sequence[Courier], job: CourierJob, busy: Collection[str] = ()) -> Courier | None:
    """Who is asked next: of those who are free and were not asked in this round, who waits longest; None: nobody.

    Args:
        busy: who has an offer before them just now.
    """
    not_now = {*job.asked, *job.never, *busy}
    free = [each for each in couriers if each.free and each.person not in not_now]
    return min(free, key=lambda each: (each.asked_at, each.applied_at, each.person), default=None)


def return_of(job: CourierJob, id: str, pin: str, at: datetime, fee: Money) -> CourierJob:
    """The trip that brings back what could not be handed over: with the same courier, who has it.

    Raises:
        CourierError: it did not fail.
    """
    if job.state is not S.FAILED or job.kind is not JobKind.DELIVERY:
        raise CourierError("courier.job_refused", job=job.id, state=WORDS[job.state], action="return")
    return replace(
        job,
        id=id,
        kind=JobKind.RETURN,
        state=S.CARRIED,
        pickup=job.dropoff,
        dropoff=job.pickup,
        fee=fee,
        tip=None,
        of=job.id,
        asked=(),
        tries=0,
        pickup_code="",
        pin=pin,
        proof=Proof.NONE,
        note="",
        leave=False,
        waits_from=None,
        opened_at=at,
        updated_at=at,
        deadline=None,
        paid=False,
        revision=0,
    )


def masked(name: str) -> str:
    """A name as strangers read it: the first word, and the first letter of the last one."""
    words = [word for word in name.split() if word.isprintable()]
    if not words:
        return "?"
    first = words[0][:20]
    return first if len(words) == 1 else f"{first} {words[-1][0]}."
