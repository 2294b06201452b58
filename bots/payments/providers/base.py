"""What every payment provider can be asked. A provider holds the money of the outside; the ledger says whose it is.

Every call that makes something at a provider carries an idempotency key that was stored before the first attempt: who
calls may repeat it until there is an answer, and nothing happens twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

from appservice.errors import RialtoError
from bots.domain.funding import Seen
from bots.domain.money import Money

TOP_UP_TTL_S: Final = 3_600


class ProviderUnknown(RialtoError):
    """No answer, or none that says whether it was done. The same call again, with the same key, tells."""

    code = "provider_unknown"


class ProviderRefused(RialtoError):
    """It was not done, and asking again does not help. ``fields``: reason, a code."""

    code = "provider_refused"


class WebhookRefused(RialtoError):
    """A message that is not proven to be the provider's, or cannot be read."""

    code = "webhook_refused"


class ProviderMissing(RialtoError):
    """A provider is configured whose library is not installed."""

    code = "provider_missing"


@dataclass(frozen=True, slots=True)
class CreateRequest:
    """A payment to be made at the provider. What is in it stays the same when it is asked for again."""

    top_up: str
    """Our id: the provider keeps it with the payment."""
    key: str
    """The idempotency key."""
    person: str
    amount: Money
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Created:
    """A payment stands at the provider. ``link``: where the person pays; "" where there is no such page."""

    id: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Received:
    """Money that came in: the provider's id of it, by which nothing is credited twice."""

    id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class ProviderPayment:
    """What the provider says of a payment when it is asked."""

    id: str
    seen: Seen
    received: tuple[Received, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PayoutRequest:
    """Money that is to go out. ``destination``: ``name`` and ``iban``, as far as the provider needs them."""

    id: str
    key: str
    amount: Money
    destination: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ProviderPayout:
    """What the provider says of a payout or a refund. ``id``: None until the provider has given one."""

    id: str | None
    seen: Seen
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ProviderEvent:
    """A message of the provider: a hint that there is something to ask about, never more.

    ``subject``: what kind of thing it is about; ``ours`` and ``theirs`` are its ids, as far as the message names them.
    """

    id: str
    subject: Literal["top_up", "payout", "refund"]
    ours: str = ""
    theirs: str = ""


@dataclass(frozen=True, slots=True)
class ProviderMovement:
    """Money that moved at the provider: into our account there (above nought), or out of it.

    ``key`` is what a movement of the ledger is found by: of money that came in :attr:`Received.id`, of a payout our id
    of it, of a refund the provider's id.
    """

    id: str
    kind: Literal["top_up", "payout", "refund", "other"]
    key: str
    amount: Money
    at: int
    detail: str = ""


class Provider(ABC):
    """One of them. Methods raise :class:`ProviderUnknown` and :class:`ProviderRefused`, and nothing else on purpose."""

    name: ClassVar[str]
    title: ClassVar[str]
    """As people know it."""
    pays_out: ClassVar[bool] = False
    refunds: ClassVar[bool] = False
    ttl_s: ClassVar[int] = TOP_UP_TTL_S
    """How long a person has to pay."""

    @property
    @abstractmethod
    def currencies(self) -> frozenset[str] | None:
        """Those that it takes; None: all."""

    def bounds(self, currency: str) -> tuple[Money | None, Money | None]:
        """The smallest and the largest amount that it takes."""
        return None, None

    def check(self, amount: Money) -> None:  # noqa: B027 - most can move every amount
        """Whether it can move exactly this amount. Raises :class:`ProviderRefused`."""

    def instructions(self, payment_id: str, amount: Money) -> Mapping[str, str]:
        """How to pay where there is no page for it. Of a bank transfer: ``name``, ``iban``, ``bic``, ``reference``, and
        the payload of the QR code, ``qr``."""
        return {}

    async def start(self) -> None:  # noqa: B027 - most need nothing
        """Open what it needs."""

    async def stop(self) -> None:  # noqa: B027
        """Close it."""

    @abstractmethod
    async def create(self, request: CreateRequest) -> Created:
        """Make a payment at the provider, or find the one that this key has made."""

    @abstractmethod
    async def fetch(self, payment_id: str, top_up: str) -> ProviderPayment:
        """What became of a payment. ``payment_id``: the provider's; ``top_up``: ours, which it must belong to."""

    @abstractmethod
    async def capture(self, payment_id: str, key: str) -> ProviderPayment:
        """Take the money that is reserved for a payment."""

    @abstractmethod
    async def refund(self, payment_id: str, received: str, amount: Money, key: str) -> ProviderPayout:
        """Give back money of a payment. ``received``: the id of what came in."""

    @abstractmethod
    async def fetch_refund(self, refund_id: str) -> ProviderPayout:
        """What became of a refund."""

    @abstractmethod
    async def payout(self, request: PayoutRequest) -> ProviderPayout:
        """Have money paid out, or find what this key has done."""

    @abstractmethod
    async def fetch_payout(self, payout_id: str, provider_id: str | None) -> ProviderPayout:
        """What became of a payout."""

    @abstractmethod
    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> Sequence[ProviderEvent]:
        """What a message says, when it is proven to be the provider's. Raises :class:`WebhookRefused`."""

    @abstractmethod
    async def movements(self, since: int, until: int) -> Sequence[ProviderMovement]:
        """The money that moved in a time (ms since the epoch), the whole of it."""
