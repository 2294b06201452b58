"""The API as an HTTP application: who asks, how often, what for; then the endpoint; then the answer as documented.

The order of checks is the same for all: the key (401), its rate (429), its scope (403), the path (404), the query and
headers (400), the body (400, 413, 415, 422), the idempotency key (409, 422). So nobody learns anything of what exists
without a key that may know it.
"""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final

from aiohttp import web
from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection

from appservice import json
from appservice.clock import Clock
from appservice.errors import RialtoError
from appservice.metrics import Metrics
from bridge.actor import Actor
from bridge.api import problems
from bridge.api.endpoints import PARAMETERS, Binary, Call, Endpoint
from bridge.api.idempotency import Finish, Idempotency, Outcome, fingerprint_of
from bridge.api.media import accepted
from bridge.api.problems import Problem
from bridge.domain.buckets import Buckets, Verdict
from bridge.identity.products import Products
from bridge.store.products import Product, ProductKey

log = logging.getLogger(__name__)

BODY_S: Final = 10.0
"""Seconds in which a body must have arrived."""
HANDLER_S: Final = 30.0
MOST_DEPTH: Final = 12
PER_S: Final = 60.0
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")
_JSON: Final = re.compile(r"application/(?:[a-z0-9.+-]+\+)?json")
_ANY_SITE: Final = {"Access-Control-Allow-Origin": "*"}
NOBODY: Final = (Product("", "", 0), ProductKey("", "", b"", frozenset(), "", 0))

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """Serves endpoints. Mounted at ``/api/v1``."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        products: Products,
        idempotency: Idempotency,
        clock: Clock,
        document: Callable[[], bytes],
        metrics: Metrics,
        *,
        reads_per_minute: int,
        writes_per_minute: int,
        anybody_per_minute: int = 6_000,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            document: gives the OpenAPI document as JSON.
            reads_per_minute: of one key.
            writes_per_minute: of one key.
            anybody_per_minute: requests without a key, of everybody together.
        """
        self.endpoints = tuple(endpoints)
        self._products = products
        self._idempotency = idempotency
        self._clock = clock
        self._document = document
        self._metrics = metrics
        self._reads = Buckets(reads_per_minute, PER_S)
        self._writes = Buckets(writes_per_minute, PER_S)
        self._anybody = Buckets(anybody_per_minute, PER_S)
        self._monotonic = monotonic

    def app(self) -> web.Application:
        """The routes, with paths from ``/`` on."""
        app = web.Application(middlewares=[self._safely])
        for endpoint in self.endpoints:
            app.router.add_route(endpoint.method, endpoint.path, self._handler(endpoint))
            if endpoint.scope is None and endpoint.writes:
                # People's devices ask for it, those in browsers too, from the product's own site. No cookie counts.
                app.router.add_options(endpoint.path, _preflight)
        app.router.add_get("/openapi.json", self._openapi, allow_head=False)
        return app

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._document(), content_type="application/json", headers=_ANY_SITE)

    @web.middleware
    async def _safely(self, request: web.Request, handler: Answering) -> web.StreamResponse:
        """Whatever goes wrong is a problem as documented."""
        try:
            return await handler(request)
        except RialtoError as error:
            problem = problems.of(error)
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            words = "This method is not for this path."
            problem = Problem(405, "wrong_method", words, headers={"Allow": allowed})
        except web.HTTPRequestEntityTooLarge:
            problem = Problem(413, "too_large", "The body is larger than this service takes.")
        except web.HTTPNotFound:
            problem = Problem(404, "not_found", "There is nothing here.")
        except web.HTTPException as error:
            problem = Problem(error.status, "refused", error.reason)
        except (ConnectionError, asyncio.IncompleteReadError, web.RequestPayloadError):
            problem = Problem(400, "broken_off", "The body broke off.")
        except TimeoutError:
            problem = Problem(503, "too_slow", "It took too long; try again.", retry_after=5)
        except Exception:  # a defect of ours: the outside hears no more of it than that
            log.exception("a request to the API failed")
            problem = Problem(500, "internal", "Something went wrong here.")
        return problem.response()

    def _handler(self, endpoint: Endpoint) -> Answering:
        async def handle(request: web.Request) -> web.StreamResponse:
            begun = self._monotonic()
            try:
                response = await answer(request)
            except RialtoError as error:
                response = problems.of(error).response()
            except Exception:
                self._metrics.api_requests.labels(endpoint.name, "500").inc()
                raise
            self._metrics.api_requests.labels(endpoint.name, str(response.status)).inc()
            self._metrics.api_seconds.observe(self._monotonic() - begun)
            return response

        async def answer(request: web.Request) -> web.StreamResponse:
            product, key, verdict = await self._admit(endpoint, request)
            try:
                response = await self._serve(endpoint, request, product, key)
            except RialtoError as error:
                response = problems.of(error).response()
            except TimeoutError:
                response = Problem(503, "too_slow", "It took too long; try again.", retry_after=5).response()
            response.headers.update(_limits(verdict))
            if endpoint.scope is None and endpoint.writes:
                response.headers.update(_ANY_SITE)
            return response

        return handle

    async def _admit(self, endpoint: Endpoint, request: web.Request) -> tuple[Product, ProductKey, Verdict]:
        """Who asks, if they may ask now."""
        now = self._monotonic()
        if endpoint.scope is None:
            verdict = self._anybody.take("", now)
            found = NOBODY
        else:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            shown = await self._products.authenticate(token.strip()) if scheme.lower() == "bearer" else None
            if shown is None:
                raise Problem(
                    401,
                    "no_such_key",
                    "A key is needed: Authorization: Bearer KEY.",
                    headers={"WWW-Authenticate": 'Bearer realm="rialto"'},
                )
            key, product = shown
            verdict = (self._writes if endpoint.writes else self._reads).take(key.id, now)
            found = (product, key)
        if not verdict.allowed:
            problem = Problem(429, "too_many", "Too many requests.", retry_after=verdict.retry_after)
            problem.headers |= _limits(verdict)
            raise problem
        if endpoint.scope and endpoint.scope not in found[1].scopes:
            raise Problem(403, "scope_missing", f"The key lacks the scope {endpoint.scope}.", headers=_limits(verdict))
        return (*found, verdict)

    async def _serve(self, endpoint: Endpoint, request: web.Request, product: Product, key: ProductKey) -> web.Response:
        params = dict(request.match_info)
        for name, value in params.items():
            if not PARAMETERS[name].matches(value):
                raise Problem(404, "not_found", "There is nothing here.")
        query = _query(endpoint.query, request)
        media = _media(endpoint, request)
        once = _idempotency_key(endpoint, request)
        raw, body = await self._body(endpoint, request)

        async def work(finish: Finish) -> Outcome:
            def done(connection: Connection, answer: BaseModel | None) -> None:
                finish(connection, _outcome(endpoint, answer))

            call = Call(
                product=product,
                key=key,
                actor=Actor.of_product(product.name) if product.name else Actor(),
                params=params,
                body=body,
                query=query,
                once=f"api:{product.name}:{sha256((once or secrets.token_hex(16)).encode()).hexdigest()}",
                now=self._clock.now_ms(),
                media=media,
                done=done,
            )
            return await self._run(endpoint, call)

        if once is None or not endpoint.writes:
            return _response(await work(_forget))
        fingerprint = fingerprint_of(request.method, request.rel_url.raw_path_qs, raw)
        return _response(await self._idempotency.once(product.name, once, fingerprint, work))

    async def _run(self, endpoint: Endpoint, call: Call[Any, Any]) -> Outcome:
        """What the handler makes of it; what it refuses is an outcome too."""
        try:
            async with asyncio.timeout(HANDLER_S):
                answer = await endpoint.handler(call)
        except RialtoError as error:
            problem = problems.of(error)
            if problem.status >= 500 or problem.status == 429:
                raise problem from error
            return Outcome(problem.status, json.dumps(problem.body()) + b"\n")
        return _outcome(endpoint, answer)

    async def _body(self, endpoint: Endpoint, request: web.Request) -> tuple[Any, BaseModel | None]:
        """The body, as JSON and as the endpoint's model."""
        if not endpoint.writes:
            return None, None
        if request.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise Problem(415, "wrong_encoding", "The body must not be compressed.")
        try:
            async with asyncio.timeout(BODY_S):
                data = await request.read()
        except TimeoutError:
            raise Problem(408, "too_slow", "The body did not arrive in time.") from None
        if endpoint.body is None:
            if data.strip() not in {b"", b"{}"}:
                raise Problem(400, "body_not_wanted", "This request has no body.")
            return None, None
        if not data.strip() and not any(each.is_required() for each in endpoint.body.model_fields.values()):
            return {}, endpoint.body.model_validate({})
        if not _JSON.fullmatch(request.content_type):
            raise Problem(415, "wrong_type", "The body must be application/json.")
        raw = _parsed(data)
        try:
            return raw, endpoint.body.model_validate_json(data)
        except ValidationError as error:
            raise Problem(422, "bad_body", "The body is not as it must be.", errors=_errors(error)) from None


def _forget(_connection: Connection, _found: Outcome) -> None:
    """There is no key to keep it by."""


def _outcome(endpoint: Endpoint, answer: BaseModel | Binary | None) -> Outcome:
    if answer is None:
        return Outcome(204, b"")
    if isinstance(answer, Binary):
        return Outcome(endpoint.status, answer.data, kind=answer.kind, name=answer.name)
    return Outcome(endpoint.status, answer.model_dump_json(exclude_none=False).encode() + b"\n")


def _parsed(data: bytes) -> Any:
    try:
        raw = json.loads(data)
        depth = _depth(raw)
    except (json.JSONError, RecursionError):
        raise Problem(400, "not_json", "The body is no JSON.") from None
    if depth > MOST_DEPTH:
        raise Problem(400, "not_json", "The body is nested too deeply.")
    return raw


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    if isinstance(value, list):
        return 1 + max(map(_depth, value), default=0)
    return 0


def _query(model: type[BaseModel] | None, request: web.Request) -> BaseModel | None:
    names = [name for name, _ in request.query.items()]
    if model is None:
        if names:
            raise Problem(400, "bad_query", f"There is no parameter {names[0][:60]!r}.")
        return None
    if len(set(names)) != len(names):
        raise Problem(400, "bad_query", "A parameter stands twice.")
    try:
        return model.model_validate(dict(request.query))
    except ValidationError as error:
        raise Problem(400, "bad_query", "The query is not as it must be.", errors=_errors(error)) from None


def _media(endpoint: Endpoint, request: web.Request) -> str:
    if not endpoint.media:
        return ""
    found = accepted(",".join(request.headers.getall("Accept", [])), endpoint.media)
    if found is None:
        raise Problem(406, "not_acceptable", f"There is {' and '.join(endpoint.media)}.")
    return found


def _idempotency_key(endpoint: Endpoint, request: web.Request) -> str | None:
    given = request.headers.getall("Idempotency-Key", [])
    if not endpoint.writes or endpoint.scope is None:
        return None
    if not given:
        if endpoint.keyed:
            raise Problem(400, "no_idempotency_key", "This request needs an Idempotency-Key.")
        return None
    if len(given) > 1 or not _KEY.fullmatch(given[0]):
        raise Problem(400, "bad_idempotency_key", "An Idempotency-Key has 1 to 255 printable ASCII characters.")
    return given[0]


def _errors(error: ValidationError) -> list[Mapping[str, str]]:
    """What is wrong where; never what was sent, which may be secret."""
    found: list[Mapping[str, str]] = []
    for each in error.errors(include_url=False, include_context=False, include_input=False)[:20]:
        pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1")[:100] for part in each["loc"])
        found.append({"pointer": pointer, "detail": each["msg"][:300]})
    return found


def _limits(verdict: Verdict) -> dict[str, str]:
    return {
        "RateLimit-Limit": str(verdict.limit),
        "RateLimit-Remaining": str(verdict.remaining),
        "RateLimit-Reset": str(-(-int(verdict.reset * 1000) // 1000)),
        "RateLimit-Policy": f"{verdict.limit};w={PER_S:.0f}",
    }


async def _preflight(_request: web.Request) -> web.Response:
    allowed = {"Access-Control-Allow-Methods": "POST", "Access-Control-Allow-Headers": "Content-Type"}
    return web.Response(status=204, headers=_ANY_SITE | allowed | {"Access-Control-Max-Age": "86400"})


def _response(outcome: Outcome) -> web.Response:
    headers = {"Idempotency-Replayed": "true"} if outcome.replayed else None
    if outcome.status == 204:
        return web.Response(status=204, headers=headers)
    if outcome.kind:
        return _binary(outcome)
    kind = "application/json" if outcome.status < 400 else problems.CONTENT_TYPE
    return web.Response(status=outcome.status, body=outcome.body, content_type=kind, headers=headers)


def _binary(outcome: Outcome) -> web.Response:
    # What is in it is for who has asked, and a picture runs nothing.
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    if outcome.name:
        headers["Content-Disposition"] = f'attachment; filename="{outcome.name}"'
    return web.Response(status=outcome.status, body=outcome.body, content_type=outcome.kind, headers=headers)
