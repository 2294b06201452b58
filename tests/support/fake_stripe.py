"""A stand-in for Stripe's HTTP API, as far as Checkout goes: form encoding, keys, idempotency, pages of lists, signed
messages. It is strict where Stripe is: an idempotency key that comes with other parameters is an error."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import stripe
from aiohttp import web

SECRET_KEY = "sk_test_fake"
WEBHOOK_SECRET = "whsec_fake"
SMALLEST = 50
"""Minor units; less is refused as ``amount_too_small``."""


@dataclass
class FakeStripe:
    """``start`` it, and point ``api_base`` at :attr:`url`."""

    url: str = ""
    sessions: dict[str, dict[str, Any]] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, dict[str, Any]] = field(default_factory=dict)
    balance: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[str, dict[str, Any], int, dict[str, Any]]] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, Any], str]] = field(default_factory=list)
    """Method, path, parameters, idempotency key."""
    faults: list[str] = field(default_factory=list)
    """Of the next requests: ``drop`` (before anything is done), ``lost`` (done, and no answer), ``500``, ``429``, or
    ``""`` for none."""
    manual: bool = False
    """Whether payments have to be captured."""
    refund_status: str = "succeeded"
    now: int = field(default_factory=lambda: int(time.time()))
    _runner: web.AppRunner | None = None
    _numbers: int = 0

    async def start(self) -> FakeStripe:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, handle_signals=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    # What people and banks do

    def pay(self, session_id: str, *, later: bool = False) -> None:
        """Somebody pays on the page; ``later``: by a way that takes days."""
        session = self.sessions[session_id]
        intent = self.intents[session["payment_intent"]]
        session["status"] = "complete"
        if later:
            intent["status"] = "processing"
        elif self.manual:
            intent["status"] = "requires_capture"
        else:
            self._received(session, intent)

    def settle(self, session_id: str, *, succeeds: bool) -> None:
        """What took days has ended."""
        session = self.sessions[session_id]
        intent = self.intents[session["payment_intent"]]
        if succeeds:
            self._received(session, intent)
        else:
            intent["status"] = "requires_payment_method"

    def expire(self, session_id: str) -> None:
        self.sessions[session_id]["status"] = "expired"

    def event(
        self, kind: str, about: Mapping[str, Any], *, event_id: str = "", at: int | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """A message: body and headers."""
        event = {"id": event_id or self._id("evt"), "object": "event", "type": kind, "data": {"object": dict(about)}}
        return self.signed(json.dumps(event), at)

    def signed(self, body: str, at: int | None = None, secret: str = WEBHOOK_SECRET) -> tuple[bytes, dict[str, str]]:
        header = stripe.WebhookSignature.generate_signature_header(body, secret, at)
        return body.encode(), {"Stripe-Signature": header}

    def _received(self, session: dict[str, Any], intent: dict[str, Any]) -> None:
        session["payment_status"] = "paid"
        intent["status"] = "succeeded"
        charge = {
            "id": self._id("ch"),
            "object": "charge",
            "amount": intent["amount"],
            "amount_captured": intent["amount"],
            "currency": intent["currency"],
            "payment_intent": intent["id"],
        }
        self.moved("charge", charge, intent["amount"], intent["currency"])

    def moved(self, kind: str, source: Any, amount: int, currency: str) -> None:
        """A line in the balance."""
        row = {"id": self._id("txn"), "object": "balance_transaction", "type": kind, "amount": amount}
        self.balance.insert(0, {**row, "currency": currency, "created": self.now, "source": source, "fee": 30})

    def _id(self, prefix: str) -> str:
        self._numbers += 1
        return f"{prefix}_{self._numbers:04}"

    # HTTP

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "drop":
            return self._gone(request)
        if fault in {"500", "429"}:
            return web.json_response({"error": {"type": "api_error", "message": "no"}}, status=int(fault))
        if request.headers.get("Authorization") != f"Bearer {SECRET_KEY}":
            return web.json_response({"error": {"type": "invalid_request_error", "message": "key"}}, status=401)
        text = await request.text() if request.method == "POST" else request.query_string
        params = _nested(text)
        key = request.headers.get("Idempotency-Key", "")
        self.requests.append((request.method, request.path, params, key))
        status, body = self._keyed(request.method, request.path, params, key)
        if fault == "lost":
            return self._gone(request)
        return web.json_response(body, status=status)

    def _gone(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    def _keyed(self, method: str, path: str, params: dict[str, Any], key: str) -> tuple[int, dict[str, Any]]:
        if method != "POST":
            return self._worked(method, path, params)
        assert key, "every POST of ours has an idempotency key"
        if key in self.keys:
            known_path, known, status, body = self.keys[key]
            if (known_path, known) != (path, params):
                message = "Keys for idempotent requests can only be used with the same parameters"
                return 400, {"error": {"type": "idempotency_error", "message": message}}
            return status, body
        status, body = self._worked(method, path, params)
        self.keys[key] = (path, params, status, body)
        return status, body

    def _worked(self, method: str, path: str, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        if (method, path) == ("POST", "/v1/checkout/sessions"):
            return self._create(params)
        if (method, path) == ("POST", "/v1/refunds"):
            return self._refund(params)
        if (method, path) == ("GET", "/v1/refunds"):
            found = [one for one in self.refunds.values() if one["payment_intent"] == params["payment_intent"]]
            return 200, {"object": "list", "data": found[::-1], "has_more": False, "url": path}
        if (method, path) == ("GET", "/v1/balance_transactions"):
            return self._list(params)
        if match := re.fullmatch("/v1/checkout/sessions/(.+)", path):
            session = self.sessions.get(match[1])
            if session is None:
                return _missing()
            return 200, {**session, "payment_intent": self.intents.get(session["payment_intent"])}
        if match := re.fullmatch("/v1/refunds/(.+)", path):
            return (200, self.refunds[match[1]]) if match[1] in self.refunds else _missing()
        if match := re.fullmatch("/v1/payment_intents/(.+)/capture", path):
            intent = self.intents[match[1]]
            if intent["status"] != "requires_capture":
                return 400, {"error": {"type": "invalid_request_error", "code": "payment_intent_unexpected_state"}}
            self._received(next(one for one in self.sessions.values() if one["payment_intent"] == match[1]), intent)
            return 200, intent
        return _missing()

    def _create(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        price = params["line_items"]["0"]["price_data"]
        amount = int(price["unit_amount"])
        if amount < SMALLEST:
            return 400, {"error": {"type": "invalid_request_error", "code": "amount_too_small", "message": "small"}}
        session_id, intent_id = self._id("cs_test"), self._id("pi")
        intent = {"id": intent_id, "object": "payment_intent", "amount": amount, "currency": price["currency"]}
        self.intents[intent_id] = {**intent, "status": "requires_payment_method", **params["payment_intent_data"]}
        self.sessions[session_id] = {
            "id": session_id,
            "object": "checkout.session",
            "url": f"https://checkout.stripe.com/c/pay/{session_id}",
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": intent_id,
            "amount_total": amount,
            "currency": price["currency"],
            "client_reference_id": params["client_reference_id"],
            "metadata": params["metadata"],
            "expires_at": int(params["expires_at"]),
        }
        return 200, dict(self.sessions[session_id])

    def _refund(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        intent = self.intents.get(params["payment_intent"])
        amount = int(params["amount"])
        back = sum(one["amount"] for one in self.refunds.values() if one["payment_intent"] == params["payment_intent"])
        if intent is None or intent["status"] != "succeeded" or back + amount > intent["amount"]:
            return 400, {"error": {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "no"}}
        refund = {
            "id": self._id("re"),
            "object": "refund",
            "amount": amount,
            "currency": intent["currency"],
            "payment_intent": intent["id"],
            "metadata": params.get("metadata", {}),
            "status": self.refund_status,
            "failure_reason": None,
        }
        self.refunds[refund["id"]] = refund
        self.moved("refund", refund, -amount, intent["currency"])
        return 200, refund

    def _list(self, params: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        created = params.get("created", {})
        low, high = int(created.get("gte", 0)), int(created.get("lte", 2**62))
        rows = [row for row in self.balance if low <= row["created"] <= high]
        if "starting_after" in params:
            ids = [row["id"] for row in rows]
            rows = rows[ids.index(params["starting_after"]) + 1 :]
        page = rows[: int(params.get("limit", 10))]
        more = len(page) < len(rows)
        return 200, {"object": "list", "data": page, "has_more": more, "url": "/v1/balance_transactions"}


def _missing() -> tuple[int, dict[str, Any]]:
    return 404, {"error": {"type": "invalid_request_error", "code": "resource_missing", "message": "there is none"}}


def _nested(text: str) -> dict[str, Any]:
    """``a[b][0]=c`` as ``{"a": {"b": {"0": "c"}}}``."""
    found: dict[str, Any] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text)):
        keys = re.findall(r"[^\[\]]+", name)
        place = found
        for key in keys[:-1]:
            place = place.setdefault(key, {})
        place[keys[-1]] = value
    return found
