"""The consumer of a plugin that runs outside this process: the engine's side of it."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from appservice.events import Event
from appservice.metrics import Metrics
from appservice.processor import Wait
from appservice.unit import UnitOfWork
from bots.framework.bot import BotUser
from bots.framework.consumer import WANTED, PluginConsumer
from bots.framework.context import Context
from bots.framework.dialogs.service import Dialogs
from bots.framework.incoming import Incoming
from bots.framework.permissions import ROLES, Role
from bots.framework.plugin import Plugin
from bots.framework.remote.connection import Connection, Peer
from bots.framework.remote.manifest import Manifest
from bots.framework.remote.own import Own
from bots.framework.remote.protocol import Close, Limits, LinkLost
from bots.framework.remote.rights import Rights
from bots.framework.remote.values import event_out, person_out
from bots.framework.services import Services

log = logging.getLogger(__name__)

MIN_PAUSE_S: Final = 0.25
MAX_PAUSE_S: Final = 5.0
WAIT_S: Final = 30.0
"""How long an event waits at the plugin's own wish."""
WAITS: Final = 10_000
_PLACES: Final = frozenset({"geo_uri", "m.location", "org.matrix.msc3488.location", "m.asset", "m.ts"})


class _Elsewhere(Plugin):
    """Stands in for the plugin where only the framework speaks."""


class RemoteConsumer:
    """One plugin instance outside this process, on one bot of its own.

    While the plugin is not connected its events wait in the inbox, in the order of their rooms.
    """

    def __init__(
        self,
        instance: str,
        plugin: str,
        bot: BotUser,
        services: Services,
        *,
        bots_in: Callable[[str], Iterable[str]],
        grants: Iterable[str] = (),
        settings: Mapping[str, Any] | None = None,
        enabled: Callable[[str, str], bool] = lambda _room, _server: True,
        limits: Limits | None = None,
        effects: int | None = None,
        on_ready: Callable[[RemoteConsumer], None] = lambda _consumer: None,
        pause: float = MIN_PAUSE_S,
        metrics: Metrics | None = None,
    ) -> None:
        """
        Args:
            plugin: the name of the plugin that is expected.
            bot: of this instance alone.
            bots_in: the bots that are joined to a room: ``Rooms.bots_in``.
            grants: the scopes that the operator gives it.
            settings: the plugin's settings, checked by the plugin's own model on its side.
            enabled: whether it answers in a room, and people of a server.
            effects: messages in answer to one event at most.
            on_ready: called when a plugin has connected; ``own`` says what it wants.
            pause: seconds that an event waits for the plugin, at first.
        """
        self.instance = instance
        self.plugin = plugin
        self.bot = bot
        self.services = services
        self.manifest: Manifest | None = None
        """Of the plugin that was connected last."""
        self.counts: Counter[str] = Counter()
        """What was refused since the start, by its reason."""
        self._rights = Rights(instance, bot.user_id, grants, bots_in)
        self._settings = dict(settings or {})
        self._enabled = enabled
        self._limits = limits or Limits()
        self._effects = effects
        self.own = Own()
        """What the manifest means here."""
        self.on_ready = on_ready
        self._pause = pause
        self._metrics = metrics
        self._connected(False)
        self._connection: Connection | None = None
        self._waits: OrderedDict[str, float] = OrderedDict()
        self._gone = time.monotonic()
        self._framework = PluginConsumer(instance, _Elsewhere(), bot, services, enabled=enabled)
        bot.consumers.append(self._framework)
        bot.rebuild()

    @property
    def name(self) -> str:
        """Stable across restarts."""
        return f"{self.instance}:{self.bot.user_id}"

    @property
    def user_id(self) -> str:
        """The bot's."""
        return self.bot.user_id

    @property
    def connected(self) -> bool:
        """Whether the plugin takes events right now."""
        return self._connection is not None and self._connection.ready

    def enabled_in(self, room_id: str, person: str) -> bool:
        """Whether the plugin answers this person in this room."""
        return self._enabled(room_id, person.partition(":")[2])

    # The connection

    def peer(self) -> Peer:
        """For a connection that has shown the instance's token."""
        return Peer(
            instance=self.instance,
            expected=self.plugin,
            rights=self._rights,
            services=self.services,
            limits=self._limits,
            welcome=self._welcome,
            attach=self._attach,
            detach=self._detach,
            count=self._refused,
            admit=self._admit,
            patience=self._bears,
        )

    def _welcome(self, manifest: Manifest) -> dict[str, Any]:
        services = self.services
        return {
            "instance": self.instance,
            "user_id": self.user_id,
            "display_name": self.bot.display_name,
            "server_name": services.server_name,
            "default_currency": services.default_currency,
            "language": services.catalogues.default,
            "zone": services.scheduler.zone,
            "settings": self._settings,
            "scopes": sorted(self._rights.scopes),
            "payments": services.payments is not None,
            "rooms": services.chats is not None,
            "strict": services.strict,
            "now": services.clock.now_ms(),
        }

    def own_of(self, manifest: Manifest) -> Own:
        """What a manifest means for this instance.

        Raises:
            Refusal: something of it cannot be.
        """
        now = self.services.clock.now_ms()
        return Own.of(manifest, instance=self.instance, user_id=self.user_id, settings=self._settings, now_ms=now)

    def take(self, manifest: Manifest, own: Own) -> None:
        """Go by a manifest from now on."""
        self.manifest, self.own = manifest, own
        self._framework.table.commands = list(own.commands)
        self.bot.rebuild()

    def _admit(self, manifest: Manifest) -> None:
        self.own_of(manifest)

    def _refused(self, reason: str) -> None:
        self.counts[reason] += 1
        if self._metrics is not None:
            self._metrics.plugin_refusals.labels(self.instance, reason).inc()

    def _attach(self, connection: Connection) -> None:
        """A newer connection takes over."""
        before, self._connection = self._connection, connection
        assert connection.manifest is not None
        self.take(connection.manifest, self.own_of(connection.manifest))
        self._connected(True)
        if self._metrics is not None:
            self._metrics.plugin_connections.labels(self.instance).inc()
        log.info("a plugin outside has connected", extra={"plugin": self.instance})
        if before is not None:
            before.ready = False
            connection._spawn(before.close(Close.REPLACED, "a newer connection has taken over"), "remote-replace")
        self.on_ready(self)

    def _detach(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection, self._gone = None, time.monotonic()
            self._connected(False)
            log.warning("a plugin outside is not connected any more", extra={"plugin": self.instance})

    def _connected(self, connected: bool) -> None:
        if self._metrics is not None:
            self._metrics.plugin_connected.labels(self.instance).set(connected)

    async def disconnect(self) -> None:
        """Rialto stops: the plugin connects again when it is back."""
        if self._connection is not None:
            await self._connection.close(Close.GOING_AWAY, "Rialto stops")

    # The consumer

    def wants(self, event: Event) -> bool:
        """What every plugin wants; what is not known of one that has not been here yet waits for it."""
        if event.type not in WANTED:
            return False
        if event.type == "m.room.member":
            members = self.manifest is None or self.manifest.members
            return event.membership != event.previous_membership and (event.state_key == self.user_id or members)
        return event.content.get("msgtype") != "m.notice"

    async def handle(self, event: Event, unit: UnitOfWork) -> None:
        """Have the plugin work the event; what it wants stands in the unit then.

        Raises:
            Wait: the plugin is not connected.
        """
        if not event.internal and not self.enabled_in(event.room_id, event.sender):
            return
        connection = self._connection
        if connection is None or not connection.ready:
            raise Wait(self._patience())
        if self._effects is not None:
            unit.limit = self._effects
        frame = await self._frame(event)
        if connection is not self._connection:
            raise Wait(self._patience())
        try:
            await connection.handle(frame, unit)
        except LinkLost:
            raise Wait(self._patience()) from None

    def _bears(self, event_id: str) -> bool:
        """Whether an event may wait once more because the plugin says so: what it waits for may not be known yet."""
        now = time.monotonic()
        began = self._waits.setdefault(event_id, now)
        if len(self._waits) > WAITS:
            self._waits.popitem(last=False)
        return now - began <= WAIT_S

    def _patience(self) -> float:
        """Seconds until the next look: soon after it went, later when it has been away for long."""
        return min(max(self._pause, (time.monotonic() - self._gone) / 10), MAX_PAUSE_S)

    async def _frame(self, event: Event) -> dict[str, Any]:
        services, manifest = self.services, self.manifest
        person = await services.people.get(event.sender) if event.sender else None
        asked = manifest.permissions if manifest is not None else ()
        return {
            "event": event_out(event, self._content(event)),
            "now": services.clock.now_ms(),
            "person": None if person is None else person_out(person),
            "allowed": [each for each in asked if event.sender and self._allows(event.sender, each)],
        }

    def _allows(self, person: str, permission: str) -> bool:
        default = permission if permission in ROLES else Role.OPERATOR
        return self.services.permissions.allows(person, permission, default=default)

    def _content(self, event: Event) -> Mapping[str, Any]:
        """Where people are is not handed on to a plugin without the scope for it."""
        content = event.content
        if content.get("msgtype") != "m.location" or "location.read" in self._rights.scopes:
            return content
        return {**{key: value for key, value in content.items() if key not in _PLACES}, "body": ""}

    async def means(self, event: Event, incoming: Incoming) -> bool:
        """Whether a message is said to the plugin: addressed to the bot, or an answer to one of its questions."""
        # Which dialogs are open changes without the framework's knowledge here: what it has seen does not count.
        self._framework.dialogs = Dialogs(self.name, self.services)
        return await self._framework.means(event, incoming)

    async def context(self, event: Event, unit: UnitOfWork, incoming: Incoming | None = None) -> Context:
        """What the framework speaks with where the plugin does not."""
        return await self._framework.context(event, unit, incoming)

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Tell the sender that a message could not be decrypted."""
        await self._framework.unreadable(event, unit, reason)

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the sender that something went wrong; a dialog that stood in the middle of it ends."""
        await self._framework.gave_up(event, unit)

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Plugins do not hear of receipts and typing."""
