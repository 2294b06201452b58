"""Stripe Checkout by Stripe's own library. People type their cards on Stripe's pages; none of it comes here.

What a message of Stripe says is never believed: it only makes us ask. https://docs.stripe.com/api,
https://docs.stripe.com/currencies.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from bots.domain.currencies import CURRENCIES
from bots.domain.funding import Seen
from bots.domain.money import Money
from bots.payments.providers.base import (
    Created,
    CreateRequest,
    PayoutRequest,
    Provider,
    ProviderEvent,
    ProviderMissing,
    ProviderMovement,
    ProviderPayment,
    ProviderPayout,
    ProviderRefused,
    ProviderUnknown,
    Received,
    WebhookRefused,
)

if TYPE_CHECKING:
    from stripe import Refund, StripeClient
    from stripe.checkout import Session

log = logging.getLogger(__name__)

TOLERANCE_S: Final = 300
"""How old the signature of a message may be."""
TIMEOUT_S: Final = 20.0
PAGE: Final = 100
MAX_PAGES: Final = 1_000

ZERO_DECIMAL: Final = frozenset(
    "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF".split()  # noqa: SIM905 - a list to compare with theirs
)
"""Amounts are in whole units. (MGA has a minor unit by ISO 4217, and none at Stripe.)"""
THREE_DECIMAL: Final = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Amounts are in thousandths, and the last digit is a nought."""
_OWN_MONEY: Final = frozenset(
    {
        *("payout", "payout_cancel", "payout_failure", "payout_minimum_balance_hold", "payout_minimum_balance_release"),
        *("stripe_fee", "stripe_fx_fee", "tax_fee", "network_cost", "topup", "topup_reversal", "reserve_transaction"),
        *("reserved_funds", "risk_reserved_funds", "reserve_hold", "reserve_release"),
    }
)
"""Balance transactions between Stripe and the operator: no money of people."""
_SESSION: Final = "checkout.session."
_REFUNDS: Final = frozenset({"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"})
_REFUND_SEEN: Final[Mapping[str, Seen]] = {
    "succeeded": Seen.SUCCEEDED,
    "failed": Seen.DECLINED,
    "canceled": Seen.DECLINED,
    "pending": Seen.PENDING,
    "requires_action": Seen.PENDING,
}


def to_stripe(amount: Money) -> int:
    """The amount as Stripe counts it.

    Raises:
        ProviderRefused: Stripe has no such currency, or cannot express the amount.
    """
    exponent = CURRENCIES[amount.currency].exponent
    theirs = _exponent(amount.currency)
    if exponent > 3 or (exponent == 3 and amount.currency not in THREE_DECIMAL):
        raise ProviderRefused("Stripe does not know this currency", reason="currency")
    if theirs >= exponent:
        value = int(amount.minor * 10 ** (theirs - exponent))
    else:
        value, rest = divmod(amount.minor, 10 ** (exponent - theirs))
        if rest:
            raise ProviderRefused("Stripe takes whole units of this currency", reason="amount")
    if theirs == 3 and value % 10:
        raise ProviderRefused("Stripe takes this currency in steps of ten of its minor units", reason="amount")
    return value


def from_stripe(value: int, currency: str) -> Money:
    """What Stripe counts, as money.

    Raises:
        ProviderUnknown: it is none.
    """
    code = currency.upper()
    if code not in CURRENCIES:
        raise ProviderUnknown("Stripe names a currency that ISO 4217 does not know")
    shift = CURRENCIES[code].exponent - _exponent(code)
    minor, rest = divmod(value * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    if rest:
        raise ProviderUnknown("Stripe names a part of a minor unit")
    return Money(minor, code)


def _exponent(currency: str) -> int:
    """How many decimals an amount has at Stripe. ISK and UGX have two, always noughts, although they have no minor
    unit."""
    return 0 if currency in ZERO_DECIMAL else 3 if currency in THREE_DECIMAL else 2


class StripeProvider(Provider):
    """Cards and what else Stripe Checkout offers."""

    name = "stripe"
    title = "Stripe"
    refunds = True

    def __init__(
        self,
        secret_key: str,
        webhook_secret: str,
        api_base: str,
        url: Callable[[str], str],
        currencies: frozenset[str] | None = None,
        *,
        retries: int = 1,
        timeout: float = TIMEOUT_S,
    ) -> None:
        """
        Args:
            url: the address of a path as the outside sees it.
            currencies: those that are offered; None: all that Stripe knows.
            retries: within one call, by Stripe's library, with the same idempotency key.

        Raises:
            ProviderMissing: the library is not installed.
        """
        try:
            import stripe  # noqa: F401
        except ImportError:
            raise ProviderMissing(
                "payments.providers.stripe is set, and the library for it is not installed: "
                'pip install "rialto-messenger[stripe]"'
            ) from None
        self._secret_key = secret_key
        self._webhook_secret = webhook_secret
        self._api_base = api_base.rstrip("/")
        self._url = url
        self._currencies = currencies
        self._retries = retries
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._client: StripeClient | None = None

    @property
    def currencies(self) -> frozenset[str] | None:
        return self._currencies

    def check(self, amount: Money) -> None:
        to_stripe(amount)

    async def start(self) -> None:
        import stripe

        if self._session is not None:
            return
        if not self._webhook_secret:
            log.warning("payments.providers.stripe has no webhook_secret: what happens there is noticed late")
        # A session of ours: no proxies from the environment, no cookies, timeouts for each part.
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=10),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._client = stripe.StripeClient(
            self._secret_key,
            base_addresses={"api": self._api_base},
            max_network_retries=self._retries,
            http_client=stripe.AIOHTTPClient(timeout=None, session=self._session),
        )

    async def stop(self) -> None:
        session, self._session, self._client = self._session, None, None
        if session is not None:
            await session.close()

    # What our side asks

    async def create(self, request: CreateRequest) -> Created:
        params: Any = {
            "mode": "payment",
            "client_reference_id": request.top_up,
            "metadata": {"top_up": request.top_up},
            "payment_intent_data": {"metadata": {"top_up": request.top_up}},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": request.amount.currency.lower(),
                        "unit_amount": to_stripe(request.amount),
                        "product_data": {"name": "Top-up"},
                    },
                }
            ],
            "success_url": self._url("/providers/return/done"),
            "cancel_url": self._url("/providers/return/cancelled"),
            "expires_at": request.expires_at // 1000,
        }
        options: Any = {"idempotency_key": request.key}
        async with self._asking() as client:
            session = await client.v1.checkout.sessions.create_async(params, options)
        if not session.url:
            raise ProviderUnknown("Stripe made a session without an address")
        return Created(session.id, session.url)

    async def fetch(self, payment_id: str, top_up: str) -> ProviderPayment:
        session = await self._fetched(payment_id)
        if session.client_reference_id != top_up:
            return ProviderPayment(payment_id, Seen.UNKNOWN, reason="not_ours")
        return self._payment(session)

    async def capture(self, payment_id: str, key: str) -> ProviderPayment:
        session = await self._fetched(payment_id)
        intent = session.payment_intent
        if intent is None or isinstance(intent, str):
            raise ProviderRefused("there is nothing to capture", reason="not_authorised")
        options: Any = {"idempotency_key": key}
        async with self._asking() as client:
            await client.v1.payment_intents.capture_async(intent.id, {}, options)
        return self._payment(await self._fetched(payment_id))

    async def refund(self, payment_id: str, received: str, amount: Money, key: str) -> ProviderPayout:
        # Stripe remembers an idempotency key for a day, and an answer may be missing for longer.
        made = await self._refunded(received, key)
        if made is not None:
            return ProviderPayout(made.id, _REFUND_SEEN.get(made.status or "", Seen.PENDING), made.failure_reason or "")
        params: Any = {"payment_intent": received, "amount": to_stripe(amount), "metadata": {"key": key}}
        options: Any = {"idempotency_key": key}
        async with self._asking() as client:
            made = await client.v1.refunds.create_async(params, options)
        return ProviderPayout(made.id, _REFUND_SEEN.get(made.status or "", Seen.PENDING))

    async def _refunded(self, received: str, key: str) -> Refund | None:
        """The refund that was made with a key."""
        params: Any = {"payment_intent": received, "limit": PAGE}
        async with self._asking() as client:
            page = await client.v1.refunds.list_async(params)
        return next((one for one in page.data if getattr(one.metadata, "key", None) == key), None)

    async def fetch_refund(self, refund_id: str) -> ProviderPayout:
        async with self._asking() as client:
            found = await client.v1.refunds.retrieve_async(refund_id)
        return ProviderPayout(found.id, _REFUND_SEEN.get(found.status or "", Seen.PENDING), found.failure_reason or "")

    async def payout(self, request: PayoutRequest) -> ProviderPayout:
        # Stripe pays out to the account of the operator; to people only by Connect, which is another product.
        raise ProviderRefused("Stripe pays nobody out", reason="no_cash_out")

    async def fetch_payout(self, payout_id: str, provider_id: str | None) -> ProviderPayout:
        return ProviderPayout(None, Seen.DECLINED, "no_cash_out")

    async def webhook(self, body: bytes, headers: Mapping[str, str]) -> Sequence[ProviderEvent]:
        import stripe

        try:
            stripe.WebhookSignature.verify_header(
                body, headers.get("Stripe-Signature"), self._webhook_secret, TOLERANCE_S
            )
            event = json.loads(body)
            event_id, kind, about = event["id"], event["type"], event["data"]["object"]
            if not isinstance(event_id, str) or not isinstance(kind, str) or not isinstance(about, dict):
                raise ValueError
        except (stripe.SignatureVerificationError, ValueError, KeyError, TypeError, RecursionError):
            raise WebhookRefused("the message is not signed by Stripe, or is none of its own") from None
        theirs, ours = str(about.get("id", "")), str(about.get("client_reference_id") or "")
        if kind.startswith(_SESSION):
            return [ProviderEvent(event_id, "top_up", ours, theirs)]
        if kind in _REFUNDS and about.get("object") == "refund":
            return [ProviderEvent(event_id, "refund", "", theirs)]
        return []

    async def movements(self, since: int, until: int) -> Sequence[ProviderMovement]:
        found: list[ProviderMovement] = []
        params: dict[str, Any] = {
            # Stripe counts seconds: the part of one at either end is taken, and cut off below.
            "created": {"gte": since // 1000, "lte": until // 1000},
            "limit": PAGE,
            "expand": ["data.source"],
        }
        for _ in range(MAX_PAGES):
            async with self._asking() as client:
                asked: Any = params
                page = await client.v1.balance_transactions.list_async(asked)
            found.extend(movement for row in page.data if (movement := _movement(row)) is not None)
            if not page.has_more or not page.data:
                break
            params = {**params, "starting_after": page.data[-1].id}
        else:
            raise ProviderUnknown("Stripe has more movements than can be compared at once")
        return [movement for movement in found if since <= movement.at < until]

    async def _fetched(self, session_id: str) -> Session:
        params: Any = {"expand": ["payment_intent"]}
        async with self._asking() as client:
            return await client.v1.checkout.sessions.retrieve_async(session_id, params)

    def _payment(self, session: Session) -> ProviderPayment:
        intent = session.payment_intent
        status = "" if intent is None or isinstance(intent, str) else intent.status
        if session.status == "expired":
            return ProviderPayment(session.id, Seen.EXPIRED)
        if session.status != "complete":
            return ProviderPayment(session.id, Seen.PENDING)
        if session.payment_status == "paid" and intent is not None and session.amount_total is not None:
            amount = from_stripe(session.amount_total, session.currency or "")
            intent_id = intent if isinstance(intent, str) else intent.id
            return ProviderPayment(session.id, Seen.SUCCEEDED, (Received(intent_id, amount),))
        if status == "requires_capture":
            return ProviderPayment(session.id, Seen.AUTHORISED)
        if status in {"canceled", "requires_payment_method"}:
            return ProviderPayment(session.id, Seen.DECLINED, reason=status)
        return ProviderPayment(session.id, Seen.PENDING)

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[StripeClient]:
        """The client; what goes wrong becomes what it means."""
        import stripe

        if self._client is None:
            raise RuntimeError("the provider is not started")
        try:
            async with asyncio.timeout(self._timeout * (self._retries + 1)):
                yield self._client
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            code = error.code or "invalid"
            if code in {"idempotency_key_in_use", "lock_timeout"}:
                raise ProviderUnknown("Stripe is busy with the same call", reason=code) from None
            raise ProviderRefused(f"Stripe refused it: {code}", reason=code) from None
        except stripe.IdempotencyError:
            raise ProviderRefused("the idempotency key was used for something else", reason="key_reused") from None
        except (stripe.AuthenticationError, stripe.PermissionError):
            log.error("Stripe does not accept payments.providers.stripe.secret_key")
            raise ProviderUnknown("Stripe does not accept the key of the configuration", reason="key") from None
        except (stripe.StripeError, aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ProviderUnknown("Stripe does not answer", kind=type(error).__name__) from None


def _movement(row: Any) -> ProviderMovement | None:
    """A balance transaction, as far as it is about money of people."""
    if row.type in _OWN_MONEY:
        return None
    source, at = row.source, row.created * 1000
    if row.type in {"charge", "payment"} and source is not None and not isinstance(source, str):
        amount = from_stripe(source.amount_captured, source.currency)
        return ProviderMovement(row.id, "top_up", source.payment_intent or source.id, amount, at)
    if row.type in {"refund", "payment_refund"} and source is not None and not isinstance(source, str):
        return ProviderMovement(row.id, "refund", source.id, -from_stripe(source.amount, source.currency), at)
    return ProviderMovement(row.id, "other", row.id, from_stripe(row.amount, row.currency), at, str(row.type))
