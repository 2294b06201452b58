"""The mini apps of all bots that sell: ``server.mount(PREFIX, apps.app())``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp import web

from bots.commerce.baskets import Baskets
from bots.commerce.page.app import ROUTES, Answer, MiniApp
from bots.commerce.page.visits import Bot
from bots.commerce.sellers import Sellers
from bots.commerce.shelf import Shelf

__all__ = ["MakeApp", "MiniApps"]

MakeApp = Callable[[Bot, Sellers, Shelf, Baskets], MiniApp]
_BOT: Final = "bot"


class MiniApps:
    """Finds the app of a bot by the first part of the path. Bots come and go while it runs."""

    def __init__(self, make: MakeApp, names: Mapping[str, str]) -> None:
        """
        Args:
            names: of the bots, as people read them, by plugin instance.
        """
        self._make = make
        self._names = names
        self._apps: dict[str, MiniApp] = {}

    def add(self, instance: str, user_id: str, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> MiniApp:
        """Serve a bot's; one of the same instance is replaced."""
        bot = Bot(instance, f"{instance}:{user_id}", user_id, self._names.get(instance) or instance)
        made = self._apps[instance] = self._make(bot, sellers, shelf, baskets)
        return made

    def app(self) -> web.Application:
        """The routes below :data:`bots.commerce.page.app.PREFIX`."""
        app = web.Application()
        for method, path, name in ROUTES:
            app.router.add_route(method, f"/{{{_BOT}}}{path}", self._answer(name))
        return app

    def _answer(self, name: str) -> Answer:
        async def handle(request: web.Request) -> web.StreamResponse:
            app = self._apps.get(request.match_info[_BOT])
            if app is None:
                raise web.HTTPNotFound
            return await app.answer(name, request)

        return handle
