"""What the homeserver's module asks at our listener: who may ask, and what a bad question is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, cast

import pytest
from aiohttp.test_utils import TestClient, TestServer
from pydantic import SecretStr

from appservice.config import Config
from appservice.config.models import AppService, Encryption
from appservice.database import DatabaseError
from appservice.inbox import Inbox
from appservice.metrics import Metrics
from appservice.transactions import Listener
from appservice.worker import Worker

TOKEN = "the-token-of-the-homeserver"
AUTH = {"Authorization": f"Bearer {TOKEN}"}


async def answer(name: str, asked: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """As the policy does."""
    if name == "check":
        return {"allow": asked["check"] == "invite"}
    if name == "bad":
        raise ValueError("not of the agreed shape")
    if name == "down":
        raise DatabaseError("gone")
    return None


@pytest.fixture
async def listener() -> Listener:
    """A listener that only answers questions."""
    config = Config(
        appservice=AppService(as_token=SecretStr("ours-of-the-service"), hs_token=SecretStr(TOKEN)),
        encryption=Encryption(pickle_key=SecretStr("a key of sixteen letters")),
    )
    return Listener(config, cast(Inbox, None), cast(Worker, None), cast(Any, None), Metrics())


@pytest.fixture
async def client(listener: Listener) -> AsyncIterator[TestClient[Any, Any]]:
    """Speaks to it."""
    async with TestClient(TestServer(listener.app())) as made:
        yield made


async def post(client: TestClient[Any, Any], name: str, data: Any = b"{}", headers: Any = None) -> tuple[int, Any]:
    async with client.post(f"/_rialto/v1/{name}", data=data, headers=AUTH if headers is None else headers) as response:
        return response.status, await response.json()


async def test_a_question_is_answered(listener: Listener, client: TestClient[Any, Any]) -> None:
    assert (await post(client, "check"))[0] == 404, "nobody is there to answer yet"
    listener.questions = answer
    assert await post(client, "check", b'{"check": "invite"}') == (200, {"allow": True})
    assert (await post(client, "other"))[0] == 404


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN}])
async def test_nobody_else_asks(listener: Listener, client: TestClient[Any, Any], headers: dict[str, str]) -> None:
    listener.questions = answer
    status, body = await post(client, "check", headers=headers)
    assert (status, body["errcode"][:2]) in {(401, "M_"), (403, "M_")}


@pytest.mark.parametrize(
    ("name", "data", "status"), [("check", b"{", 400), ("check", b"[]", 400), ("bad", b"{}", 400), ("down", b"{}", 503)]
)
async def test_what_cannot_be_answered(
    listener: Listener, client: TestClient[Any, Any], name: str, data: bytes, status: int
) -> None:
    listener.questions = answer
    assert (await post(client, name, data))[0] == status
