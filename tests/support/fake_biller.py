"""A biller over HTTP with every fault: it answers late or not at all after having been paid, repeats, lies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

TOKEN = "Bearer the-secret-of-the-tests"


@dataclass
class Account:
    """What somebody owes."""

    amount: str = "42.50"
    period: str = "2026-01"
    due: str | None = "2026-01-28"
    minimum: str | None = None
    currency: str = "EUR"

    def bill(self) -> dict[str, Any]:
        told = {"period": self.period, "amount": self.amount, "currency": self.currency, "reference": "R-1"}
        return {**told, "due": self.due, "minimum": self.minimum}


@dataclass
class FakeBiller:
    """The biller, and what it has seen. Its faults are taken from ``faults`` by path, one for each request."""

    url: str = ""
    accounts: dict[str, Account] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """``late``, ``drop``, a status, ``garbage``, ``empty``, ``array``, ``huge``, ``amount``, ``float``, ``other``,
    ``pending``, ``failed``, ``changed``, ``unknown``, ``redirect``, ``deaf``. A fault of ``/pay`` comes after the money
    was taken, but for ``deaf``, ``failed`` and ``changed``."""
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was paid, by key."""
    refused: set[str] = field(default_factory=set)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    """The idempotency keys of payments, in order."""

    def count(self, path: str) -> int:
        """How often a path was asked for."""
        return sum(1 for each, _body in self.calls if each == path)

    async def fetch(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        account = self.accounts.get(str(body["account"].get("contract")))
        if account is None:
            answer: Any = {"status": "rejected"}
        elif account.amount == "0":
            answer = {"status": "paid", "receipt": "EARLIER-1"}
        else:
            answer = {"status": "found", "bill": account.bill()}
        return await self._answer(request, answer, body)

    async def pay(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        key, fault = str(body["payment"]), self._next("/pay")
        self.keys.append(request.headers.get("Idempotency-Key", ""))
        if key not in self.taken and key not in self.refused:
            if fault == "deaf":
                return self._drop(request)
            account = self.accounts[str(body["account"]["contract"])]
            if fault == "failed":
                self.refused.add(key)
            elif fault == "changed" or (account.minimum is None and body["amount"] != account.amount):
                return web.json_response({"status": "changed", "payment": key, "bill": account.bill()})
            else:
                self.taken[key] = body
        return await self._answer(request, self._known(key), body, fault)

    async def status(self, request: web.Request) -> web.StreamResponse:
        body = await self._read(request)
        return await self._answer(request, self._known(str(body["payment"])), body)

    def _known(self, key: str) -> dict[str, Any]:
        body = self.taken.get(key)
        if body is None:
            return {"status": "failed" if key in self.refused else "unknown", "payment": key}
        paid = {"amount": body["amount"], "currency": body["currency"], "receipt": f"R-{len(key)}-{key[:6]}"}
        return {"status": "paid", "payment": key, **paid}

    async def _read(self, request: web.Request) -> dict[str, Any]:
        if request.headers.get("Authorization") != TOKEN:
            raise web.HTTPUnauthorized
        body: dict[str, Any] = await request.json()
        self.calls.append((request.path, body))
        return body

    def _next(self, path: str) -> str:
        waiting = self.faults.get(path)
        return waiting.pop(0) if waiting else ""

    def _drop(self, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def _answer(
        self, request: web.Request, answer: dict[str, Any], body: dict[str, Any], fault: str | None = None
    ) -> web.StreamResponse:
        if fault is None:
            fault = self._next(request.path)
        if fault == "drop":
            return self._drop(request)
        if fault == "late":
            await asyncio.sleep(5)
        changed = {
            "amount": {**answer, "amount": "1.00"},
            "float": {**answer, "amount": 42.5},
            "other": {**answer, "payment": "another"},
            "pending": {"status": "pending", "payment": body.get("payment", ""), "retry_after": 5},
            "unknown": {"status": "unknown", "payment": body.get("payment", "")},
            "changed": {"status": "changed", "payment": body.get("payment", ""), "bill": {"period": ""}},
        }
        if fault in changed:
            return web.json_response(changed[fault])
        raw = {"garbage": b"{paid", "empty": b"", "array": b"[1]", "huge": b'"' + b"x" * 100_000 + b'"'}
        if fault in raw:
            return web.Response(body=raw[fault], content_type="application/json")
        if fault == "redirect":
            return web.Response(status=307, headers={"Location": "http://127.0.0.1:9/"})
        if fault.isdecimal():
            return web.json_response({"error": "no"}, status=int(fault))
        return web.json_response(answer)


@asynccontextmanager
async def fake_biller() -> AsyncIterator[FakeBiller]:
    """A running biller."""
    biller = FakeBiller()
    app = web.Application()
    app.router.add_post("/fetch", biller.fetch)
    app.router.add_post("/pay", biller.pay)
    app.router.add_post("/status", biller.status)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    biller.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield biller
    finally:
        await runner.cleanup()
