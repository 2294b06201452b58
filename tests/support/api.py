"""A world with the API for embedding products: a server on a port, a product with a key, and a client of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import ClientResponse, ClientSession, web

from appservice.administration import Device, LoginToken
from appservice.database import Database
from bridge.api.embedding import PREFIX, Embedding
from bridge.client import RialtoClient
from bridge.domain.scopes import SCOPES
from bridge.identity.products import MadeKey
from tests.support.messenger import MessengerWorld

LOOPBACK = "127.0.0.0/8"


@dataclass
class FakeAccounts:
    """The homeserver's administration, as far as people of products need it."""

    available: bool = True
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    deactivated: list[str] = field(default_factory=list)
    suspended: frozenset[str] = frozenset()
    media: dict[str, str] = field(default_factory=dict)
    tokens: int = 0
    error: Exception | None = None

    async def put_user(self, user_id: str, **values: Any) -> dict[str, Any]:
        if self.error is not None:
            raise self.error
        found = self.users.setdefault(user_id, {})
        found.update(values)
        return found

    async def deactivate(self, user_id: str, erase: bool = False) -> None:
        if self.error is not None:
            raise self.error
        self.deactivated.append(user_id)

    async def suspend(self, user_id: str, suspended: bool) -> None:
        if self.error is not None:
            raise self.error
        self.suspended = self.suspended | {user_id} if suspended else self.suspended - {user_id}

    async def user(self, user_id: str) -> dict[str, Any] | None:
        return self.users.get(user_id)

    async def devices(self, user_id: str) -> list[Device]:
        return []

    async def media_of(self, user_id: str) -> AsyncIterator[dict[str, Any]]:
        for media_id in [name for name, owner in self.media.items() if owner == user_id]:
            yield {"media_id": media_id}

    async def delete_media(self, server: str, media_id: str) -> bool:
        return self.media.pop(media_id, None) is not None

    async def login_token(self, user_id: str) -> LoginToken:
        if self.error is not None:
            raise self.error
        self.tokens += 1
        return LoginToken(f"login-{self.tokens}-{user_id}", 120_000)


class Product:
    """A product with a key, as its backend sees Rialto."""

    def __init__(self, world: ApiWorld, made: MadeKey) -> None:
        self.made = made
        self.name = made.key.product
        self.key = made.text
        self._world = world
        self._count = 0
        self.client = RialtoClient(world.url, made.text, session=world.session, attempts=1)

    async def ask(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> tuple[int, Any]:
        """A request as plain HTTP: status and JSON. Writes have a new idempotency key unless told."""
        response = await self.respond(method, path, json, key=key, headers=headers, **more)
        raw = await response.read()
        return response.status, await response.json(content_type=None) if raw else None

    async def respond(
        self,
        method: str,
        path: str,
        json: Any = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> ClientResponse:
        """The whole answer."""
        self._count += 1
        sent = {"Authorization": f"Bearer {self.key}", **(headers or {})}
        if method != "GET":
            sent.setdefault("Idempotency-Key", key or f"{self.name}-{self._count}")
        if json is not None:
            more["json"] = json
        response = await self._world.session.request(method, self._world.url + PREFIX + path, headers=sent, **more)
        await response.read()
        await self._world.settle()
        return response


class ApiWorld(MessengerWorld):
    """The messenger with its API on a port of loopback."""

    def __init__(self, database: Database | None = None, *, api: Mapping[str, Any] | None = None, **more: Any) -> None:
        """
        Args:
            api: what the section ``messenger.api`` says beside ``enabled``.
        """
        messenger = dict(more.pop("messenger", None) or {})
        messenger["api"] = {"enabled": True, "webhook_networks": [LOOPBACK], **(api or {})}
        super().__init__(database, messenger=messenger, **more)
        self.accounts = FakeAccounts()
        self.runner: web.AppRunner | None = None
        self.url = ""
        self.session: ClientSession

    @property
    def embedding(self) -> Embedding:
        """The API's own parts."""
        found = self.messenger.embedding
        assert found is not None
        return found

    async def start(self) -> Self:
        """Start the service, then listen."""
        await super().start()
        accounts: Any = self.accounts
        self.embedding.people._accounts = accounts
        self.messenger.moderating.suspensions._accounts = accounts
        self.messenger.moderation._actions._accounts = accounts
        source: Any = self.messenger.rights._sources["homeserver"]
        source._accounts = accounts
        app = web.Application(client_max_size=256 * 1024)
        app.add_subapp(PREFIX, self.embedding.app())
        self.runner = web.AppRunner(app, access_log=None, handler_cancellation=False)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"
        self.session = ClientSession()
        return self

    async def _close(self) -> None:
        runner, self.runner = self.runner, None
        if runner is not None:
            await self.session.close()
            await runner.cleanup()

    async def stop(self) -> None:
        """Listen no more, then stop the service."""
        await self._close()
        await super().stop()

    async def kill(self) -> None:
        """End without finishing anything."""
        await self._close()
        await super().kill()

    async def product(self, name: str = "shop", scopes: Iterable[str] = SCOPES) -> Product:
        """A product with a key of these scopes."""
        return Product(self, await self.embedding.products.add(name, name.capitalize(), scopes))

    def with_key(self, made: MadeKey) -> Product:
        """The product as it is with another key."""
        return Product(self, made)


@dataclass(slots=True)
class Receiver:
    """A product's webhook: what it was told, and how it answers."""

    url: str = ""
    status: int = 204
    requests: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.requests.append((dict(request.headers), await request.read()))
        if 300 <= self.status < 400:
            return web.Response(status=self.status, headers={"Location": self.url + "/elsewhere"})
        return web.Response(status=self.status)


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A webhook on a port of loopback."""
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", made.take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    yield made
    await runner.cleanup()
