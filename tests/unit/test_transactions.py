"""The listener: who may speak, what is answered, and 200 for what is stored alone."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

import pytest
from aiohttp import ClientError, ClientResponse, ClientSession
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from appservice.config import Config
from appservice.config.models import AppService, Encryption
from appservice.database import DatabaseError
from appservice.events import Transaction
from appservice.inbox import Inbox, InboxItem
from appservice.metrics import Metrics
from appservice.transactions import Listener, ListenError
from appservice.worker import Worker

TOKEN = "the-token-of-the-homeserver"
AUTH = {"Authorization": f"Bearer {TOKEN}"}
BASE = "/_matrix/app/v1"
EVENT = {"event_id": "$a", "room_id": "!r:x", "sender": "@a:x", "type": "t", "content": {}}


class FakeInbox:
    """Stores in memory, or fails as a test says: before anything is kept, or after."""

    def __init__(self) -> None:
        self.faults: list[str | None] = []
        self.stored: dict[str, InboxItem] = {}
        self.txn_ids: set[str] = set()
        self.order: list[str] = []

    async def store(self, transaction: Transaction) -> tuple[list[InboxItem], bool]:
        fault = self.faults.pop(0) if self.faults else None
        if fault == "before":
            raise DatabaseError("gone")
        fresh = transaction.txn_id not in self.txn_ids
        self.txn_ids.add(transaction.txn_id)
        new = []
        for raw in transaction.events:
            if raw["event_id"] not in self.stored:
                item = InboxItem(0, len(self.stored) + 1, raw["room_id"], raw["event_id"], b"{}", 0)
                self.stored[item.event_id] = item
                new.append(item)
        self.order.append("stored")
        if fault == "after":
            raise DatabaseError("the answer of the commit was lost")
        return new, fresh


class FakeWorker:
    """Remembers what it was handed."""

    def __init__(self, inbox: FakeInbox) -> None:
        self._inbox = inbox
        self.dispatched: list[str] = []
        self.ephemeral: list[Mapping[str, Any]] = []
        self.held = 0

    @contextmanager
    def hold(self) -> Any:
        self.held += 1
        yield

    def dispatch(self, items: Iterable[InboxItem]) -> None:
        self.dispatched.extend(item.event_id for item in items)
        self._inbox.order.append("dispatched")

    def dispatch_ephemeral(self, events: Iterable[Mapping[str, Any]]) -> None:
        self.ephemeral.extend(events)

    async def reconcile(self) -> None:
        self.dispatched.extend(each for each in self._inbox.stored if each not in self.dispatched)


class Users:
    """The users that exist, and how often the homeserver was seen."""

    seen = 0

    def has_user(self, user_id: str) -> bool:
        return user_id == "@bot:localhost"

    def homeserver_seen(self) -> None:
        self.seen += 1


class Place:
    """A listener, its parts, and a client."""

    def __init__(self) -> None:
        config = Config(
            appservice=AppService(
                as_token=SecretStr("as" * 20), hs_token=SecretStr(TOKEN), max_body=65_536, listen="127.0.0.1:0"
            ),
            encryption=Encryption(pickle_key=SecretStr("a pickle key for tests")),
        )
        self.users = Users()
        self.inbox = FakeInbox()
        self.worker = FakeWorker(self.inbox)
        self.listener = Listener(config, cast(Inbox, self.inbox), cast(Worker, self.worker), self.users, Metrics())
        self.client: TestClient[Any, Any] = TestClient(TestServer(self.listener.app()))

    async def put(self, body: Any = None, txn_id: str = "1", **options: Any) -> ClientResponse:
        """A transaction."""
        options = {"headers": AUTH, "json": {"events": []} if body is None else body} | options
        if "data" in options:
            del options["json"]
        return await self.client.put(f"{BASE}/transactions/{txn_id}", **options)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    """A listener that listens."""
    made = Place()
    await made.client.start_server()
    yield made
    await made.client.close()


async def errcode(response: ClientResponse) -> str:
    """The Matrix error code; the answer must be a standard error."""
    body = await response.json()
    assert set(body) == {"errcode", "error"}
    return str(body["errcode"])


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        (AUTH, {}),
        ({"Authorization": f"bearer {TOKEN}"}, {}),
        ({}, {"access_token": TOKEN}),
        ({"Authorization": "Bearer "}, {"access_token": TOKEN}),
        ({"Authorization": "Bearer"}, {"access_token": TOKEN}),
        ({"Authorization": "Basic abc"}, {"access_token": TOKEN}),
        (AUTH, {"access_token": "wrong"}),
    ],
)
async def test_the_token_stands_in_the_header_or_in_the_query(
    place: Place, headers: dict[str, str], query: dict[str, str]
) -> None:
    response = await place.put(headers=headers, params=query)
    assert response.status == 200
    assert await response.json() == {}


@pytest.mark.parametrize(
    "method_path", [("PUT", "/transactions/1"), ("GET", "/users/@bot:localhost"), ("POST", "/ping")]
)
@pytest.mark.parametrize(
    ("headers", "query", "status", "code"),
    [
        ({}, {}, 401, "M_MISSING_TOKEN"),
        ({"Authorization": "Bearer "}, {}, 401, "M_MISSING_TOKEN"),
        ({}, {"access_token": ""}, 401, "M_MISSING_TOKEN"),
        ({"Authorization": "Bearer wrong"}, {}, 403, "M_FORBIDDEN"),
        ({"Authorization": f"Bearer {TOKEN}x"}, {}, 403, "M_FORBIDDEN"),
        ({"Authorization": f"Bearer {TOKEN[:-1]}"}, {}, 403, "M_FORBIDDEN"),
        ({"Authorization": "Bearer wrong"}, {"access_token": TOKEN}, 403, "M_FORBIDDEN"),
        ({"Authorization": "Bearer tökén"}, {}, 403, "M_FORBIDDEN"),
        ({}, {"access_token": "tökén"}, 403, "M_FORBIDDEN"),
    ],
)
async def test_nobody_else_is_heard(
    place: Place,
    method_path: tuple[str, str],
    headers: dict[str, str],
    query: dict[str, str],
    status: int,
    code: str,
) -> None:
    method, path = method_path
    response = await place.client.request(method, BASE + path, headers=headers, params=query, json={"events": [EVENT]})
    assert response.status == status
    assert await errcode(response) == code
    assert place.inbox.stored == {}


async def test_tokens_are_compared_in_constant_time(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    original = hmac.compare_digest

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return original(first, second)

    monkeypatch.setattr("appservice.transactions.hmac.compare_digest", compare)
    await place.put()
    await place.put(headers={"Authorization": "Bearer wrong"})
    assert compared == [(TOKEN.encode(), TOKEN.encode()), (b"wrong", TOKEN.encode())]


@pytest.mark.parametrize("prefix", [BASE, ""])
async def test_the_specified_paths_and_the_legacy_ones(place: Place, prefix: str) -> None:
    answers = [
        await place.client.put(prefix + "/transactions/1", headers=AUTH, json={"events": [EVENT]}),
        await place.client.get(prefix + "/users/%40bot%3Alocalhost", headers=AUTH),
        await place.client.get(prefix + "/users/@nobody:localhost", headers=AUTH),
        await place.client.get(prefix + "/rooms/%23alias%3Alocalhost", headers=AUTH),
    ]
    assert [answer.status for answer in answers] == [200, 200, 404, 404]
    assert await errcode(answers[2]) == "M_NOT_FOUND"
    assert await errcode(answers[3]) == "M_NOT_FOUND"
    assert place.worker.dispatched == ["$a"]


async def test_ping(place: Place) -> None:
    response = await place.client.post(BASE + "/ping", headers=AUTH, json={"transaction_id": "x"})
    assert (response.status, await response.json()) == (200, {})


async def test_unknown_paths_and_methods(place: Place) -> None:
    """Application service API, "Unknown routes"."""
    for method, path, status in (
        ("GET", "/", 404),
        ("GET", BASE + "/thirdparty/protocol/x", 404),
        ("POST", BASE + "/transactions/1", 405),
        ("DELETE", BASE + "/users/x", 405),
        ("GET", BASE + "/ping", 405),
    ):
        response = await place.client.request(method, path, headers=AUTH)
        assert response.status == status, path
        assert await errcode(response) == "M_UNRECOGNIZED"
        assert status == 404 or response.headers["Allow"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "M_NOT_JSON"),
        (b"{", "M_NOT_JSON"),
        (b'{"events": [NaN]}', "M_NOT_JSON"),
        (b"\xff\xfe", "M_NOT_JSON"),
        (b"[" * 5_000 + b"]" * 5_000, "M_NOT_JSON"),
        (b"[]", "M_BAD_JSON"),
        (b"{}", "M_BAD_JSON"),
        (b'{"events": {}}', "M_BAD_JSON"),
        (b'{"events": [], "ephemeral": 3}', "M_BAD_JSON"),
    ],
)
async def test_a_body_that_is_none_is_refused(place: Place, data: bytes, code: str) -> None:
    response = await place.put(data=data)
    assert response.status == 400
    assert await errcode(response) == code
    assert place.inbox.order == []


async def test_a_body_that_is_too_large_is_413(place: Place) -> None:
    response = await place.put(data=b'{"events": [' + b" " * 70_000 + b"]}")
    assert response.status == 413
    assert await errcode(response) == "M_TOO_LARGE"


async def test_a_transaction_id_with_control_characters_is_refused(place: Place) -> None:
    response = await place.put(txn_id="a%00b")
    assert response.status == 400
    assert await errcode(response) == "M_INVALID_PARAM"


async def test_events_are_dispatched_after_they_are_stored_and_ephemeral_ones_once(place: Place) -> None:
    body = {"events": [EVENT, {**EVENT, "event_id": "$b"}], "ephemeral": [{"type": "m.typing"}]}
    for _ in range(2):
        assert (await place.put(body)).status == 200
    assert place.worker.dispatched == ["$a", "$b"]
    assert place.worker.ephemeral == [{"type": "m.typing"}]
    assert place.inbox.order[:2] == ["stored", "dispatched"]
    assert place.worker.held == 2


@pytest.mark.parametrize("fault", ["before", "after"])
async def test_what_could_not_be_stored_is_500_and_dispatched_once_when_it_is_repeated(
    place: Place, fault: str
) -> None:
    place.inbox.faults = [fault, fault]
    body = {"events": [EVENT, {**EVENT, "event_id": "$b"}]}
    for _ in range(2):
        response = await place.put(body)
        assert response.status == 500
        assert await errcode(response) == "M_UNKNOWN"
        assert place.worker.dispatched == []
    for _ in range(2):
        assert (await place.put(body)).status == 200
    assert place.worker.dispatched == ["$a", "$b"]
    assert (await place.put({"events": [{**EVENT, "event_id": "$c"}]}, txn_id="2")).status == 200
    assert place.worker.dispatched == ["$a", "$b", "$c"]


async def test_a_reconciliation_that_fails_is_500_and_repeated(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.inbox.faults = ["after"]
    original, failures = place.worker.reconcile, [DatabaseError("gone")]

    async def reconcile() -> None:
        if failures:
            raise failures.pop()
        await original()

    monkeypatch.setattr(place.worker, "reconcile", reconcile)
    assert [(await place.put({"events": [EVENT]})).status for _ in range(4)] == [500, 500, 200, 200]
    assert place.worker.dispatched == ["$a"]


async def test_transactions_are_refused_while_what_is_older_is_fetched(place: Place) -> None:
    """See appservice.catchup; nothing of a refused transaction is kept, and the homeserver sends it again."""
    place.listener.close()
    place.listener.close()
    for _ in range(2):
        response = await place.put({"events": [EVENT]})
        assert response.status == 503
        assert await errcode(response) == "M_UNKNOWN"
    assert place.listener.refused.is_set()
    assert place.inbox.stored == {}
    place.listener.open()
    assert not place.listener.accepted.is_set()
    assert (await place.put({"events": [EVENT]})).status == 200
    assert place.listener.accepted.is_set()
    assert place.worker.dispatched == ["$a"]


async def test_only_the_homeserver_is_seen_and_refused(place: Place) -> None:
    place.listener.close()
    assert (await place.put(headers={"Authorization": "Bearer wrong"})).status == 403
    assert place.users.seen == 0
    assert not place.listener.refused.is_set()
    await place.put()
    assert place.users.seen == 1


async def test_a_defect_of_ours_is_500_and_says_nothing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    async def store(_transaction: Transaction) -> None:
        raise KeyError("a detail of ours")

    monkeypatch.setattr(place.inbox, "store", store)
    response = await place.put({"events": [EVENT]})
    assert response.status == 500
    assert "detail" not in await response.text()
    assert await errcode(response) == "M_UNKNOWN"


async def test_a_stop_waits_no_longer_than_its_grace_for_a_transaction_that_cannot_be_stored(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def store(_transaction: Transaction) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(place.inbox, "store", store)
    monkeypatch.setattr(place.listener, "_grace", 0.05)
    await place.listener.start()
    url = f"http://127.0.0.1:{place.listener.port}{BASE}/transactions/1"
    async with ClientSession() as session:
        request = asyncio.create_task(session.put(url, json={"events": [EVENT]}, headers=AUTH))
        async with asyncio.timeout(5):
            await begun.wait()
            await place.listener.stop()
            with pytest.raises(ClientError):
                await request


async def test_it_listens_where_it_is_told_and_says_when_it_cannot(place: Place) -> None:
    with pytest.raises(RuntimeError):
        _ = place.listener.port
    await place.listener.start()
    taken = place.listener.port
    other = Place()
    other.listener._config = other.listener._config.model_copy(update={"listen": f"127.0.0.1:{taken}"})
    try:
        with pytest.raises(ListenError, match="cannot listen"):
            await other.listener.start()
    finally:
        await other.listener.stop()
        await place.listener.stop()
        await place.listener.stop()
