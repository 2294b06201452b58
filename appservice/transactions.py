"""The endpoints the homeserver calls (application service API of the Matrix specification).

200 to a transaction means stored: the answer follows the commit. Errors are Matrix errors; what cannot be stored now
is answered 500, and the homeserver sends it again.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import web

from appservice import json
from appservice import log as logs
from appservice.config import Config
from appservice.database import DatabaseError
from appservice.errors import RialtoError
from appservice.events import MalformedTransaction, Transaction
from appservice.inbox import Inbox
from appservice.metrics import Metrics
from appservice.synapse_module import PREFIX
from appservice.worker import Worker

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Questions = Callable[[str, Mapping[str, Any]], Awaitable[Mapping[str, Any] | None]]


class ListenError(RialtoError):
    """The listener's address cannot be used."""

    code = "listen_failed"


class Directory(Protocol):
    """Who is behind the listener."""

    def has_user(self, user_id: str) -> bool:
        """Whether a user of our namespaces exists."""

    def homeserver_seen(self) -> None:
        """The homeserver has called, so it is there."""


def matrix_error(status: int, errcode: str, error: str) -> web.Response:
    """A standard error response (specification, "Standard error response")."""
    return web.json_response({"errcode": errcode, "error": error}, status=status)


@web.middleware
async def _matrix_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Everything that goes wrong is said as a Matrix error."""
    try:
        return await handler(request)
    except web.HTTPRequestEntityTooLarge:
        return matrix_error(413, "M_TOO_LARGE", "the body is larger than this service takes (appservice.max_body)")
    except web.HTTPMethodNotAllowed as error:
        response = matrix_error(405, "M_UNRECOGNIZED", "wrong method")
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return matrix_error(404, "M_UNRECOGNIZED", "no such endpoint")
    except web.HTTPException as error:
        return matrix_error(error.status, "M_UNKNOWN", error.reason)
    except (ConnectionError, asyncio.IncompleteReadError):
        return matrix_error(400, "M_UNKNOWN", "the body broke off")
    except Exception:  # a defect of ours: the homeserver must hear 500 and try again
        log.exception("a request failed")
        return matrix_error(500, "M_UNKNOWN", "internal error")


class Listener:
    """The HTTP listener for the homeserver."""

    def __init__(self, config: Config, inbox: Inbox, worker: Worker, directory: Directory, metrics: Metrics) -> None:
        self._config = config.appservice
        self._grace = config.engine.grace
        self._hs_token = config.appservice.hs_token.get_secret_value().encode()
        self._inbox = inbox
        self._worker = worker
        self._directory = directory
        self._metrics = metrics
        self._uncertain = False
        self._closed = False
        self.refused = asyncio.Event()
        """A transaction was refused since the door was closed."""
        self.accepted = asyncio.Event()
        """A transaction was stored since the door was opened."""
        self.questions: Questions | None = None
        """Answers the homeserver's module (:mod:`appservice.synapse_module`)."""
        self._storing = asyncio.Lock()
        self._runner: web.AppRunner | None = None

    @property
    def port(self) -> int:
        """The port that is listened on; raises RuntimeError before :meth:`start`."""
        if self._runner is None or not self._runner.addresses:
            raise RuntimeError("the listener is not started")
        return int(self._runner.addresses[0][1])

    def close(self) -> None:
        """Refuse transactions: what is older must be fetched first, see :mod:`appservice.catchup`."""
        if not self._closed:
            self._closed = True
            self.refused.clear()

    def open(self) -> None:
        """Take transactions in again."""
        self._closed = False
        self.accepted.clear()

    def app(self) -> web.Application:
        """The routes: the specified ones and, as the specification asks, the legacy ones without a prefix."""
        app = web.Application(middlewares=[_matrix_errors], client_max_size=self._config.max_body)
        for prefix in ("/_matrix/app/v1", ""):
            app.router.add_put(prefix + "/transactions/{txn_id}", self._put_transaction)
            app.router.add_get(prefix + "/users/{user_id}", self._get_user, allow_head=False)
            app.router.add_get(prefix + "/rooms/{alias}", self._get_room, allow_head=False)
        app.router.add_post("/_matrix/app/v1/ping", self._post_ping)
        app.router.add_post(PREFIX + "/{name}", self._post_question)
        return app

    async def start(self) -> None:
        """Listen.

        Raises:
            ListenError: the address is taken or not ours.
        """
        host, _, port = self._config.listen.rpartition(":")
        self._runner = web.AppRunner(
            self.app(), access_log=None, handler_cancellation=False, shutdown_timeout=self._grace
        )
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host.strip("[]"), int(port), reuse_address=True).start()
        except OSError as error:
            raise ListenError(f"appservice.listen: cannot listen on {self._config.listen}: {error.strerror}") from None

    async def stop(self) -> None:
        """Accept nothing more; requests under way are answered within the grace period (``engine.grace``)."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _refusal(self, request: web.Request) -> web.Response | None:
        """What to answer a caller who does not show the homeserver's token, in constant time."""
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            token = request.query.get("access_token", "")
        if not token:
            return matrix_error(401, "M_MISSING_TOKEN", "no hs_token was shown")
        if not hmac.compare_digest(token.strip().encode("utf-8", "surrogateescape"), self._hs_token):
            return matrix_error(403, "M_FORBIDDEN", "this is not the hs_token")
        return None

    async def _put_transaction(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        self._directory.homeserver_seen()
        if self._closed:
            self.refused.set()
            return matrix_error(503, "M_UNKNOWN", "older events are being fetched; send this again")
        start = time.perf_counter()
        txn_id = request.match_info["txn_id"]
        if not txn_id.isprintable():
            return matrix_error(400, "M_INVALID_PARAM", "the transaction id holds control characters")
        with logs.bound(request_id=txn_id):
            raw = await request.read()
            try:
                body = json.loads(raw)
            except json.JSONError:
                return matrix_error(400, "M_NOT_JSON", "the body is no JSON")
            try:
                transaction = Transaction.parse(txn_id, body)
                await self.store(transaction)
            except (MalformedTransaction, json.JSONError) as error:
                return matrix_error(400, "M_BAD_JSON", str(error))
            except DatabaseError as error:
                log.error("a transaction could not be stored; the homeserver will send it again: %s", error)
                return matrix_error(500, "M_UNKNOWN", "not stored, send it again")
        self._metrics.transaction_seconds.observe(time.perf_counter() - start)
        self.accepted.set()
        return web.Response(body=b"{}", content_type="application/json")

    async def _post_question(self, request: web.Request) -> web.StreamResponse:
        """The homeserver's module asks: whether an invitation is wanted, for one."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        try:
            asked = json.loads(await request.read())
        except json.JSONError:
            return matrix_error(400, "M_NOT_JSON", "the body is no JSON")
        if not isinstance(asked, dict):
            return matrix_error(400, "M_BAD_JSON", "a question is an object")
        try:
            answer = None if self.questions is None else await self.questions(request.match_info["name"], asked)
        except ValueError:
            return matrix_error(400, "M_BAD_JSON", "the question is not of the agreed shape")
        except DatabaseError as error:
            log.error("a question of the homeserver's module could not be answered: %s", error)
            return matrix_error(503, "M_UNKNOWN", "not now")
        if answer is None:
            return matrix_error(404, "M_UNRECOGNIZED", "no such question")
        return web.json_response(answer)

    async def store(self, transaction: Transaction) -> None:
        """Store a transaction and hand its new events to the worker.

        Raises:
            DatabaseError: nothing is stored, or that is unknown; the same again does no harm.
        """
        # One after the other, so that two deliveries of one transaction cannot overtake each other on the way to
        # the worker. The homeserver has only one in flight anyway.
        async with self._storing:
            try:
                with self._worker.hold():
                    items, fresh = await self._inbox.store(transaction)
            except DatabaseError:
                self._uncertain = True
                raise
            self._metrics.events_received.inc(len(items))
            if self._uncertain:
                # The commit that seemed to fail may have happened: then its events wait in the database only.
                await self._worker.reconcile()
                self._uncertain = False
            else:
                self._worker.dispatch(items)
        # A transaction id alone proves nothing: Synapse on SQLite begins to count anew when it starts. What was stored
        # is told by the events; a transaction without new ones under an old id was delivered before.
        if fresh or items or not transaction.events:
            self._worker.dispatch_ephemeral(transaction.ephemeral)
        if items and not fresh:
            log.debug("an old transaction id brought new events: the homeserver counts anew")

    async def _get_user(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if self._directory.has_user(request.match_info["user_id"]):
            return web.json_response({})
        return matrix_error(404, "M_NOT_FOUND", "no such user")

    async def _get_room(self, request: web.Request) -> web.StreamResponse:
        # Aliases of ours are made with their rooms; one that is asked for here does not exist.
        return self._refusal(request) or matrix_error(404, "M_NOT_FOUND", "no such room")

    async def _post_ping(self, request: web.Request) -> web.StreamResponse:
        return self._refusal(request) or web.json_response({})
