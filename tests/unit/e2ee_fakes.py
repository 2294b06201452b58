"""Encryption without a homeserver: a client that answers what a test says, and rooms that are what a test says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mautrix.client.state_store import StateStore
from pydantic import SecretStr

from appservice.config.models import AppService, Config, Encryption
from appservice.config.models import Homeserver as HomeserverConfig
from appservice.e2ee import Crypto
from appservice.homeserver import HomeserverError
from appservice.mautrix_store import MautrixDatabase

Answer = Callable[[str, str, Any], Any]


def unreachable(method: str, path: str, body: Any) -> Any:
    """No homeserver at all."""
    raise HomeserverError(0, "UNREACHABLE", "the homeserver cannot be reached")


class FakeHomeserver:
    """Answers by a function of method, path and body; remembers what was asked."""

    url = "http://127.0.0.1:9"

    def __init__(self, answer: Answer = unreachable) -> None:
        self.answer = answer
        self.asked: list[tuple[str, str, Any]] = []

    async def request(self, method: str, path: str, *, body: object | None = None, **_: Any) -> Any:
        """One request."""
        self.asked.append((method, path, body))
        return self.answer(method, path, body)


class FakeRooms:
    """Rooms with the members that a test names, on a real state store."""

    def __init__(self, store: StateStore) -> None:
        self.store = store
        self.present: dict[str, dict[str, str]] = {}

    async def members(self, room_id: str) -> Mapping[str, str]:
        """Who is there."""
        return self.present.get(room_id, {})


def crypto_with(
    data: MautrixDatabase,
    homeserver: FakeHomeserver,
    rooms: FakeRooms | None = None,
    *,
    start_timeout: float = 0.05,
    **encryption: Any,
) -> Crypto:
    """A Crypto that is not started."""
    config = Config(
        homeserver=HomeserverConfig(url=homeserver.url),
        appservice=AppService(as_token=SecretStr("as" * 20), hs_token=SecretStr("hs" * 20)),
        encryption=Encryption(pickle_key=SecretStr("a pickle key for unit tests"), **encryption),
    )
    rooms = rooms or FakeRooms(data.state_store)
    return Crypto(config, data, homeserver, rooms, lambda *_: None, start_timeout=start_timeout)
