"""The consumer of a plugin that runs outside this process: the engine's side of it."""

from __future__ import annotations

import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from appservice.events import Event
from appservice.processor import Wait
from appservice.unit import UnitOfWork
from bots.framework.bot import BotUser
from bots.framework.consumer import WANTED, PluginConsumer
from bots.framework.permissions import ROLES, Role
from bots.framework.plugin import Plugin
from bots.framework.remote.connection import Connection, Peer
from bots.framework.remote.manifest import Manifest
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
            on_ready: called when a plugin has connected; its ``manifest`` says what it wants.
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
        self._on_ready = on_ready
        self._pause = pause
        self._connection: Connection | None = None
        self._waits: OrderedDict[str, float] = OrderedDict()
        self._gone = time.monotonic()
        self._framework = PluginConsumer(instance, _Elsewhere(), BotUser(bot.user_id, bot.display_name), services)

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
            counts=self.counts,
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

    def _attach(self, connection: Connection) -> None:
        """A newer connection takes over."""
        before, self._connection = self._connection, connection
        self.manifest = connection.manifest
        log.info("a plugin outside has connected", extra={"plugin": self.instance})
        if before is not None:
            before.ready = False
            connection._spawn(before.close(Close.REPLACED, "a newer connection has taken over"), "remote-replace")
        self._on_ready(self)

    def _detach(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection, self._gone = None, time.monotonic()
            log.warning("a plugin outside is not connected any more", extra={"plugin": self.instance})

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

    async def unreadable(self, event: Event, unit: UnitOfWork, reason: str) -> None:
        """Tell the sender that a message could not be decrypted."""
        await self._framework.unreadable(event, unit, reason)

    async def gave_up(self, event: Event, unit: UnitOfWork) -> None:
        """Tell the sender that something went wrong; a dialog that stood in the middle of it ends."""
        await self._framework.gave_up(event, unit)

    async def ephemeral(self, event: Mapping[str, Any]) -> None:
        """Plugins do not hear of receipts and typing."""
