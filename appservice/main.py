"""The composition root: puts the service, the messenger and the bots together and runs them."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appservice import memory
from appservice.claim import DatabaseInUse
from appservice.clock import Clock, SystemClock
from appservice.commands.common import layout_of, load, say
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.e2ee import BotIdentity
from appservice.homeserver import HomeserverError, path
from appservice.media import Media
from appservice.sealing import Sealer
from appservice.service import Service
from bots.framework.host import Host
from bots.framework.housekeeping import Housekeeping
from bots.framework.http import HttpClient
from bots.framework.i18n import Catalogues
from bots.framework.instances import Plan, plan, read_permissions
from bots.framework.people import People
from bots.framework.permissions import Permissions
from bots.framework.schedules import Scheduler
from bots.framework.services import Services
from bots.framework.state import Store
from bots.framework.web import WebServer
from bots.framework.webhooks import Webhooks
from bridge.chats import Chats
from bridge.membership import Membership
from bridge.messenger import Ground as MessengerGround
from bridge.messenger import Messenger
from bridge.rights.later import Later

if TYPE_CHECKING:
    from bots.commerce.baskets import Baskets
    from bots.commerce.rights import CommercePart
    from bots.commerce.sellers import Sellers
    from bots.commerce.shelf import Shelf
    from bots.commerce.trade import Trade
    from bots.fleet.fleet import Fleets
    from bots.fleet.rights import FleetPart
    from bots.framework.problems import PluginProblem
    from bots.framework.remote.outside import Outside
    from bots.payments.treasury import Treasury
    from bridge.rights.service import RightsService

log = logging.getLogger(__name__)

SWITCH_INTERVAL_S = 0.001
HUB: Final = "hub"
"""The plugin that speaks to people for the messenger."""
WALLET: Final = "wallet"
"""The plugin that holds people's wallets."""
SELLERS: Final = frozenset({"shop", "food"})
"""The plugins through which merchants sell."""
RIDES: Final = "rides"
"""The plugin that drives people and brings things: each instance has a fleet."""


@dataclass(slots=True)
class Rialto:
    """Everything that runs: the engine, the plugins, and what both stand on."""

    service: Service
    host: Host
    scheduler: Scheduler
    housekeeping: Housekeeping
    http: HttpClient
    web: WebServer
    outside: Outside | None
    messenger: Messenger
    everywhere: list[Consumer]
    treasury: Treasury | None
    fleets: Fleets | None = None

    async def start(self) -> None:
        """Start in order: the database, the plugins, the events, then what happens by itself.

        Raises:
            RialtoError: it cannot start, and why.
        """
        await self.http.start()
        await self.service.start(self.host.consumers, self.everywhere, prepare=self._prepare, complete=self._complete)
        self.host.publish()

    async def _prepare(self) -> None:
        await self.host.start()
        await self.messenger.start()

    async def _complete(self) -> None:
        """Who is told "ready" may ask for pages and for the API at once."""
        await self.scheduler.start()
        await self.housekeeping.start()
        if self.treasury is not None:
            await self.treasury.start()
        if self.fleets is not None:
            await self.fleets.start()
        await self.messenger.run()
        await self.web.start()

    async def stop(self) -> None:
        """Stop in the opposite order; running handlers finish, then the plugins stop, then the database."""
        if self.outside is not None:
            await self.outside.gateway.stop()
        await self.web.stop()
        await self.messenger.stop()
        if self.fleets is not None:
            await self.fleets.stop()
        if self.treasury is not None:
            await self.treasury.stop()
        await self.housekeeping.stop()
        await self.scheduler.stop()
        await self.service.stop(self._stop_plugins)

    async def _stop_plugins(self) -> None:
        await self.host.stop()
        await self.http.stop()


def build(config: Config, found: Plan | None = None, *, strict: bool = False) -> Rialto:
    """Put everything together; nothing is started.

    Args:
        found: the plugins, when they were looked for already.
        strict: replay each run of a dialog at once, and say where it differs.

    Raises:
        ConfigError: the permissions cannot be used.
    """
    permissions = read_permissions(config)
    found = found or plan(config)
    server = config.homeserver.server_name
    identities = [
        BotIdentity(f"@{bot.localpart}:{server}", bot.display_name or "") for bot in config.users if bot.enabled
    ]
    service = Service(config, identities)
    chats = Chats(service.homeserver, service.database, service.steward, server, whole=service.rooms.made)
    media = Media(service.homeserver, config.media.max_bytes, config.media.memory)
    clock, key = SystemClock(), config.encryption.pickle_key.get_secret_value()
    http = HttpClient()
    scheduler = Scheduler(
        service.database,
        service.raise_events,
        Sealer(key, "schedules"),
        clock,
        lambda: host.present,
    )
    web, webhooks = WebServer(config.web), Webhooks(service.raise_events, clock.now_ms)
    web.mount("/hooks", webhooks.app())
    messenger = _messenger(config, service, clock, chats, web)
    service.listener.questions = messenger.policy.answer
    if messenger.embedding is not None:
        web.mount("/api/v1", messenger.embedding.app())
    people, catalogues = People(service.database, clock, scheduler), Catalogues()
    treasury = _treasury(config, service, clock, http, people, catalogues, web)
    _rights(config, service, messenger, treasury)
    services = Services(
        database=service.database,
        rooms=service.rooms,
        media=media,
        homeserver=service.homeserver,
        sealer=Sealer(key, "dialogs"),
        clock=clock,
        people=people,
        catalogues=catalogues,
        permissions=permissions,
        scheduler=scheduler,
        store=Store(service.database, Sealer(key, "state"), clock.now_ms),
        server_name=server,
        chats=chats,
        payments=None if treasury is None else treasury.payments,
        default_currency=config.payments.default_currency,
        strict=strict,
    )
    if config.web.enabled:
        _join_page(config, messenger, catalogues, clock, web)
        _appeal_page(config, messenger, catalogues, web)
    fleets = _fleets(config, service, clock)
    host = Host(
        config,
        found,
        services,
        {
            "rooms.create": {Chats: chats},
            "http": {HttpClient: http},
            "messenger.manage": {Messenger: messenger},
            **_of_money(config, service, treasury),
            **_of_commerce(config, service, clock, messenger, people, catalogues, web),
            **_of_fleet(config, service, fleets, messenger, people, catalogues, web, permissions),
        },
        metrics=service.metrics,
        homeserver=service.homeserver,
        media=media,
        webhooks=webhooks,
        raise_events=service.raise_events,
    )
    outside = _outside(config, service, services, host, web)
    users = [identity.user_id for identity in identities]
    everywhere: list[Consumer] = [
        Membership(service.homeserver, service.rooms, users, server, config.invites.allow_servers, messenger.inhabited),
        *messenger.features,
    ]
    housekeeping = Housekeeping(service.database, services.store, clock)
    return Rialto(service, host, scheduler, housekeeping, http, web, outside, messenger, everywhere, treasury, fleets)


def _outside(config: Config, service: Service, services: Services, host: Host, web: WebServer) -> Outside | None:
    """The plugins that run in processes of their own, where the configuration has any.

    Raises:
        ConfigError: one of them cannot be used.
    """
    if not any(bot.enabled and bot.remote_token_file for bot in config.bots):
        return None
    # Only where it is wanted: it takes time and memory at every start.
    from bots.framework.remote.outside import Outside

    outside = Outside(config, host.users, services, service.rooms.bots_in, host.switchboard.enabled, service.metrics)
    host.join(outside.consumers)
    web.mount("/plugins", outside.gateway.app())
    return outside


def _messenger(config: Config, service: Service, clock: Clock, chats: Chats, web: WebServer) -> Messenger:
    """Chats and channels. Without ``@rialto`` nobody tells people what happens to them."""
    hub = next((bot for bot in config.bots if bot.plugin == HUB and bot.enabled), None)
    server = config.homeserver.server_name
    user_id = "" if hub is None else f"@{hub.localpart or hub.joins}:{server}"
    return Messenger(
        MessengerGround(
            config=config,
            database=service.database,
            homeserver=service.homeserver,
            rooms=service.rooms,
            raise_events=service.raise_events,
            clock=clock,
            metrics=service.metrics,
            chats=chats,
            steward=service.steward,
            hub=user_id,
            hub_consumer="" if hub is None else f"{hub.instance}:{user_id}",
            bots=frozenset(identity.user_id for identity in service.identities),
            url=web.url,
            decrypt=service.crypto.decrypt,
        )
    )


def _rights(config: Config, service: Service, messenger: Messenger, treasury: Treasury | None) -> None:
    """What is held about people beside the messenger: by bots, by the wallet, by the stores of keys."""
    from appservice.forgetting import KeysSource
    from bots.framework.rights import BotsPart

    messenger.rights.register(BotsPart(config.encryption.pickle_key.get_secret_value()))
    messenger.rights.register_source(KeysSource(service.data.db))
    if treasury is not None:
        from bots.payments.rights_bridge import MoneyPart

        money = MoneyPart(treasury.rights)
        messenger.rights.register(money, money.blocked)

    def commerce() -> CommercePart:
        from bots.commerce.rights import CommercePart

        return CommercePart(_trade(config, service, messenger.ground.clock))

    # Also where nothing is sold any more: what people have bought is still there.
    bought = Later("commerce", commerce)
    messenger.rights.register(bought, bought.blocked)

    def fleet() -> FleetPart:
        from bots.fleet.rights import FleetPart

        return FleetPart(_trade(config, service, messenger.ground.clock))

    # Likewise where nobody drives any more.
    driven = Later("fleet", fleet)
    messenger.rights.register(driven, driven.blocked)


def _trade(config: Config, service: Service, clock: Clock) -> Trade:
    """What everything that sells or drives stands on."""
    # Only where something does: its tables take time and memory at every start.
    from bots.commerce.trade import Trade

    key = config.encryption.pickle_key.get_secret_value()
    return Trade(key, service.database, service.raise_events, clock, service.metrics)


@asynccontextmanager
async def people_rights(config: Config) -> AsyncIterator[tuple[RightsService, bool]]:
    """People's rights over all that is held, for a command: everything is open, and nothing runs by itself.

    Gives too whether no service runs on the database: then this process may do what the service does. Money is looked
    at also where there is no wallet any more.

    Raises:
        RialtoError: something cannot be opened.
    """
    rialto = build(config)
    service, messenger = rialto.service, rialto.messenger
    if rialto.treasury is None:
        from bots.payments.rights_bridge import money_part

        money = money_part(config, service.database, messenger.ground.clock)
        messenger.rights.register(money, money.blocked)
    async with AsyncExitStack() as stack:
        await service.database.start()
        stack.push_async_callback(service.database.stop)
        alone = True
        try:
            await service.claim.take(wait=0)
            stack.push_async_callback(service.claim.release)
        except DatabaseInUse:
            alone = False
        await service.data.start()
        stack.push_async_callback(service.data.stop)
        await service.homeserver.start()
        stack.push_async_callback(service.homeserver.stop)
        if alone:  # it may have something to tell the person, at the service's next start
            await service.writer.start()
            stack.push_async_callback(service.writer.stop)
            await service.inbox.start()
        await messenger.registry.start()
        await messenger.private.start()
        stack.push_async_callback(messenger.private.stop)
        yield messenger.rights, alone


def _join_page(config: Config, messenger: Messenger, catalogues: Catalogues, clock: Clock, web: WebServer) -> None:
    """The pages of invite links."""
    # Only where there is a listener for them: templates take time and memory at every start.
    from bots.hub.join_page import JoinPage
    from bridge.links.wiring import PREFIX

    page = JoinPage(
        messenger.links,
        catalogues,
        clock,
        pickle_key=config.encryption.pickle_key.get_secret_value(),
        public_url=config.web.public_url,
        server_name=config.homeserver.server_name,
        hub=messenger.ground.hub,
    )
    web.mount(PREFIX, page.app())


def _appeal_page(config: Config, messenger: Messenger, catalogues: Catalogues, web: WebServer) -> None:
    """Where somebody is heard whose account is suspended."""
    from bots.hub.appeal_page import AppealPage
    from bridge.moderation.appeal_links import PREFIX

    key, url = config.encryption.pickle_key.get_secret_value(), config.web.public_url
    web.mount(PREFIX, AppealPage(messenger.moderation, catalogues, pickle_key=key, public_url=url).app())


def _treasury(
    config: Config,
    service: Service,
    clock: Clock,
    http: HttpClient,
    people: People,
    catalogues: Catalogues,
    web: WebServer,
) -> Treasury | None:
    """The services of money, where there is a wallet: without one nobody could confirm a payment.

    Raises:
        ConfigError: the section ``payments`` cannot be used.
    """
    wallet = next((bot for bot in config.bots if bot.plugin == WALLET and bot.enabled), None)
    if wallet is None:
        return None
    # Only where there is a wallet: it takes time and memory at every start.
    from bots.payments.approvals import unfreezing
    from bots.payments.treasury import Ground, Treasury
    from bots.wallet.payees import Registry
    from bots.wallet.safety import UNFREEZE, unfreezer

    user_id = f"@{wallet.localpart or wallet.joins}:{config.homeserver.server_name}"

    async def name(owner: str) -> str:
        if not owner.startswith("@"):
            bot = Registry.of(config).merchant(owner)
            return "" if bot is None else bot.name
        try:
            url = path("/_matrix/client/v3/profile", owner)
            profile = await service.homeserver.request("GET", url, user_id=user_id)
        except HomeserverError:
            return ""
        found = profile.get("displayname") if isinstance(profile, dict) else None
        return found if isinstance(found, str) else ""

    treasury = Treasury(
        Ground(
            config=config,
            database=service.database,
            raise_events=service.raise_events,
            clock=clock,
            http=http,
            people=people,
            catalogues=catalogues,
            metrics=service.metrics,
            web=web,
            wallet=f"{wallet.instance}:{user_id}",
            names=name,
        )
    )
    unfreeze = unfreezer(service.database, treasury.guard, treasury.audit, clock)
    treasury.mount({UNFREEZE: unfreezing(unfreeze)})
    return treasury


def _of_money(config: Config, service: Service, treasury: Treasury | None) -> dict[str, Mapping[type, Any]]:
    """What the scopes of money give a plugin."""
    if treasury is None:
        return {}
    from bots.bills.book import Book
    from bots.wallet.means import SharedRooms
    from bots.wallet.payees import Registry

    provided = treasury.provided
    wallet = {Registry: Registry.of(config), SharedRooms: service.rooms}
    bills: dict[type, Any] = {
        Book: Book(config.encryption.pickle_key.get_secret_value(), service.metrics.bills_unknown)
    }
    return {
        **provided,
        "bills.book": bills,
        "payments.wallet": {**provided["payments.wallet"], **wallet},
    }


def _of_commerce(
    config: Config,
    service: Service,
    clock: Clock,
    messenger: Messenger,
    people: People,
    catalogues: Catalogues,
    web: WebServer,
) -> dict[str, Mapping[type, Any]]:
    """What the scope of commerce gives a plugin, where there is one that sells."""
    if not any(bot.plugin in SELLERS and bot.enabled for bot in config.bots):
        return {}
    from bots.commerce.trade import Trade
    from bridge.audit import Audit

    trade = _trade(config, service, clock)
    provided: dict[type, Any] = {Trade: trade, Audit: messenger.audit}
    if config.web.enabled:
        provided |= _mini_apps(config, service, trade, people, catalogues, web)
    return {"commerce.trade": provided}


def _mini_apps(
    config: Config, service: Service, trade: Trade, people: People, catalogues: Catalogues, web: WebServer
) -> dict[type, Any]:
    """The pages of the bots that sell, and the way into them."""
    from bots.commerce.page.access import Access
    from bots.commerce.page.app import PREFIX, MiniApp
    from bots.commerce.page.apps import MiniApps
    from bots.commerce.page.door import AppDoor
    from bots.commerce.page.pictures import Pictures
    from bots.commerce.page.rendering import Renderer
    from bots.commerce.page.visits import Bot
    from bots.pages.forms import Origin
    from bots.pages.links import Links
    from bridge.identity.openid import OpenId

    key, url, clients = (
        config.encryption.pickle_key.get_secret_value(),
        config.web.public_url,
        config.web.widget_clients,
    )
    links, renderer, origin = Links(key), Renderer(catalogues, url, clients), Origin(key, url)
    access = Access(
        service.database,
        OpenId(service.homeserver).owner,
        trade.clock,
        server_name=config.homeserver.server_name,
        pickle_key=key,
        public_url=url,
    )

    def make(bot: Bot, sellers: Sellers, shelf: Shelf, baskets: Baskets) -> MiniApp:
        return MiniApp(
            bot,
            access,
            links,
            sellers,
            shelf,
            baskets,
            renderer,
            origin,
            database=service.database,
            raise_events=service.raise_events,
            people=people,
            rooms=service.rooms,
            thumbnails=Pictures(service.homeserver, bot.user_id),
            clock=trade.clock,
        )

    apps = MiniApps(make, {bot.instance: bot.display_name or bot.instance for bot in config.bots})
    web.mount(PREFIX, apps.app())
    return {AppDoor: AppDoor(links, url, apps, widgets=bool(clients))}


def _fleets(config: Config, service: Service, clock: Clock) -> Fleets | None:
    """The fleets, one for each bot of rides."""
    server = config.homeserver.server_name
    bots = [bot for bot in config.bots if bot.plugin == RIDES and bot.enabled]
    if not bots:
        return None
    # Only where somebody drives: it takes time and memory at every start.
    from bots.fleet.fleet import Fleets

    trade = _trade(config, service, clock)
    names = {bot.instance: f"{bot.instance}:@{bot.localpart or bot.joins}:{server}" for bot in bots}
    return Fleets(trade, names)


def _of_fleet(
    config: Config,
    service: Service,
    fleets: Fleets | None,
    messenger: Messenger,
    people: People,
    catalogues: Catalogues,
    web: WebServer,
    permissions: Permissions,
) -> dict[str, Mapping[type, Any]]:
    """What the scope of fleets gives a plugin, where there is one that drives."""
    if fleets is None:
        return {}
    from bots.fleet.fleet import Fleets
    from bots.rides.driving.app import PREFIX, DriverApp, Tokens
    from bridge.audit import Audit

    clock, database = fleets.trade.clock, service.database
    url = f"{config.web.public_url}{PREFIX}/positions" if config.web.enabled else ""
    tokens = Tokens(database, clock, url)
    provided: dict[type, Any] = {Fleets: fleets, Audit: messenger.audit, Tokens: tokens}
    if config.web.enabled:
        web.mount(PREFIX, DriverApp(fleets, tokens, database, clock).app())
        provided |= _ride_pages(config, service, fleets, people, catalogues, web, permissions)
    return {"fleet": provided}


def _ride_pages(
    config: Config,
    service: Service,
    fleets: Fleets,
    people: People,
    catalogues: Catalogues,
    web: WebServer,
    permissions: Permissions,
) -> dict[type, Any]:
    """The page of a trip that is shared, and the operators' board."""
    from bots.commerce.page.access import Access
    from bots.framework.permissions import Role
    from bots.pages.forms import Origin
    from bots.pages.links import Links
    from bots.rides.pages import board, share
    from bots.rides.pages.finding import SharedTrips
    from bots.rides.pages.rendering import Renderer
    from bridge.identity.openid import OpenId

    key, url, clock, database = (
        config.encryption.pickle_key.get_secret_value(),
        config.web.public_url,
        fleets.trade.clock,
        service.database,
    )
    links, find = Links(key), SharedTrips(fleets, database, clock)
    shared = share.SharePage(links, database, catalogues, find, clock, public_url=url)
    whose, server = OpenId(service.homeserver).owner, config.homeserver.server_name
    boards = board.BoardPages(
        Access(database, whose, clock, server_name=server, pickle_key=key, public_url=url),
        links,
        Renderer(catalogues, url),
        Origin(key, url),
        database=database,
        operates=lambda person: Role.OPERATOR in permissions.roles_of(person),
        people=people,
        clock=clock,
    )
    web.mount(share.PREFIX, shared.app())
    web.mount(board.PREFIX, boards.app())
    return {share.ShareDoor: share.ShareDoor(links, url, shared), board.BoardDoor: board.BoardDoor(links, boards, url)}


async def run(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code.

    Raises:
        RialtoError: it cannot start, and why.
    """
    return await serve(build(config))


async def serve(rialto: Rialto) -> int:
    """Start, wait for SIGTERM or SIGINT, stop; the exit code.

    Raises:
        RialtoError: it cannot start, and why.
    """
    # The database's thread gives the interpreter lock away at every statement and asks for it back: with the default
    # of 5 ms a busy event loop would keep it waiting longer than the disk does.
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    memory.bound()
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    starting = asyncio.create_task(rialto.start(), name="start")
    stopping = asyncio.create_task(stop.wait(), name="stop-signal")
    try:
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            memory.settle()
            await stopping
    finally:
        for task in (starting, stopping):
            task.cancel()
        await asyncio.wait([starting, stopping])
        # A second signal ends the process at once.
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        await rialto.stop()
    return 0


def plugin_problems(config: Config) -> list[PluginProblem]:
    """What is wrong with the plugins of a configuration, for ``rialto check``.

    Raises:
        ConfigError: the permissions, or what stands there of payments, cannot be used.
    """
    from bots.payments.treasury import read_settings

    read_permissions(config)
    read_settings(config)
    return list(plan(config).problems)


def plugin_command(arguments: argparse.Namespace) -> int:
    """``rialto plugin …``: the tools live with the framework."""
    from bots.framework.tools import command

    if arguments.action != "dev":
        return command.run(arguments)
    import uvloop

    code: int = uvloop.run(_develop(arguments))
    return code


def serve_plugin(arguments: argparse.Namespace) -> int:
    """``rialto plugin serve``: a plugin outside the service's process."""
    from bots.framework.remote import command

    return command.run(arguments)


async def _develop(arguments: argparse.Namespace) -> int:
    """Run the local stack with one more plugin, and load its code anew whenever it is saved."""
    from appservice import log as logs
    from appservice.local.prepare import prepare
    from bots.framework.tools import dev

    layout = layout_of(arguments)
    if arguments.config is None and "RIALTO_CONFIG" not in os.environ and not layout.config.exists():
        await prepare(layout, say)
    _, config = load(arguments)
    logs.setup("info", config.logging.format.value, show_errors=True)
    config, name = dev.with_plugin(config, arguments.path, dev.settings_of(arguments.set))
    async with dev.stack(layout, config):
        rialto = build(config, strict=True)
        host = rialto.host
        bot = next(bot for bot in config.bots if bot.instance == name)
        say(f"the bot is @{bot.localpart or bot.joins}:{config.homeserver.server_name}; Ctrl-C ends it")

        async def reload() -> PluginProblem | None:
            return await host.reload(name)

        def warnings() -> tuple[PluginProblem, ...]:
            instance = host.instance(name)
            return () if instance is None else instance.wanted.found.warnings

        following = asyncio.create_task(dev.follow(arguments.path, reload, warnings), name="follow")
        try:
            return await serve(rialto)
        finally:
            following.cancel()
