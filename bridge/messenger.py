"""The messenger, put together: its services, what listens to events, and what runs by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from sqlalchemy import Connection

from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import Homeserver
from appservice.metrics import Metrics
from appservice.rooms import Rooms
from appservice.sealing import Sealer
from bridge.audit import Audit
from bridge.channels import rights as channel_rights
from bridge.channels.wiring import Channeling
from bridge.chats import Chats
from bridge.chats import rights as chat_rights
from bridge.chats.jobs import Jobs
from bridge.chats.members import MemberService
from bridge.chats.reader import MembersFeature
from bridge.chats.service import ChatService
from bridge.chats.slow import SlowMode
from bridge.delivery import rights as delivery_rights
from bridge.delivery.wiring import Delivery
from bridge.domain.privacy import Audience
from bridge.identity import rights as identity_rights
from bridge.links.wiring import Linking
from bridge.moderation.wiring import Moderation
from bridge.notices import Notices
from bridge.permissions import Permissions
from bridge.privacy import rights as privacy_rights
from bridge.privacy.wiring import Privacy
from bridge.reading import Decrypt, Reading
from bridge.registry import Registry
from bridge.retention import rights as retention_rights
from bridge.rights import wiring as rights
from bridge.rights.parts import Part
from bridge.search.wiring import Search
from bridge.steward import Steward
from bridge.store import chats as chat_store
from bridge.store.chats import Chat
from bridge.store.delivery import hide_reads
from bridge.timers import rights as timer_rights
from bridge.timers.wiring import Timing

if TYPE_CHECKING:
    from bridge.api.embedding import Embedding

RaiseEvents: TypeAlias = Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Ground:
    """What the messenger stands on.

    Attributes:
        steward: the application service's own user.
        hub: user id of ``@rialto``, who speaks to people; '' when it is not installed.
        hub_consumer: the name of its consumer, for events of our own that it tells people of.
        bots: user ids of all bots.
        url: the address of a path of the web listener, as the outside sees it.
        decrypt: reads an encrypted event as a bot that is in its room.
    """

    config: Config
    database: Database
    homeserver: Homeserver
    rooms: Rooms
    raise_events: RaiseEvents
    clock: Clock
    metrics: Metrics
    chats: Chats
    steward: str
    hub: str
    hub_consumer: str
    bots: frozenset[str]
    url: Callable[[str], str]
    decrypt: Decrypt | None = None


class Messenger:
    """The services of the messenger. :meth:`start` them when the database is there, before any event."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.steward = Steward(ground.homeserver, ground.steward, ground.config.homeserver.server_name)
        self.registry = Registry(ground.database)
        self.permissions = Permissions(self.steward)
        self.notices = Notices(ground.hub_consumer, ground.steward)
        # The same log as the one of money, which had it first: one chain, one key.
        self.audit = Audit(ground.database, Sealer(ground.config.encryption.pickle_key.get_secret_value(), "payments"))
        self.jobs = Jobs(self.steward, ground.database, ground.clock)
        self.chats = ChatService(
            self.steward,
            ground.database,
            self.registry,
            self.permissions,
            self.audit,
            ground.clock,
            self.jobs,
            self.notices,
            ground.raise_events,
            shards=ground.config.engine.shards,
        )
        self.members = MemberService(
            self.chats,
            self.steward,
            ground.database,
            self.permissions,
            ground.clock,
            self.jobs,
            most_members=ground.config.messenger.chats.most_members,
        )
        self.member_feature = MembersFeature(self.steward, ground.database, self.registry, self.notices, ground.clock)
        self.chats.fill = self.member_feature.background.wake
        self._backgrounds = [self.jobs.background, self.members.background, self.member_feature.background]
        self.private = Privacy(
            ground.config,
            ground.database,
            ground.homeserver,
            self.steward,
            self.registry,
            self.notices,
            ground.raise_events,
            self.audit,
            ground.clock,
            ground.bots | {ground.steward},
        )
        self.administration = self.private.administration
        self.privacy = self.private.service
        self.devices = self.private.devices
        self.screenshots = self.private.screenshots
        self.policy = self.private.policy
        self.slow_mode = SlowMode(
            self.steward,
            ground.database,
            self.registry,
            self.notices,
            ground.bots | {ground.steward},
            ground.clock,
        )
        self.policy.add("message", self.slow_mode.screen)
        self.moderating = Moderation(
            ground.config,
            ground.database,
            ground.homeserver,
            self.steward,
            self.registry,
            self.members,
            ground.chats,
            self.administration,
            self.notices,
            ground.raise_events,
            self.audit,
            ground.clock,
            ground.metrics,
            self.policy,
            self.privacy,
            ground.bots | {ground.steward},
            ground.rooms.bots_in,
            ground.hub,
            self._page_url,
        )
        self.moderation = self.moderating.service
        self.policies = self.moderating.policies
        self.chats.consent = self.moderating.invites
        self.jobs.purge = self._purge
        self.delivering = Delivery(
            ground.config,
            ground.database,
            ground.homeserver,
            self.registry,
            self.permissions,
            ground.clock,
            ground.rooms.bots_in,
            ground.steward,
            self._hides_receipts,
        )
        self.delivery = self.delivering.service
        self.privacy.reading_hidden = hide_reads
        self.linking = Linking(
            ground.config,
            ground.database,
            self.steward,
            self.registry,
            self.permissions,
            self.notices,
            ground.raise_events,
            ground.clock,
            self.chats,
            self.privacy,
            ground.bots | {ground.steward},
            ground.hub,
            ground.url,
        )
        self.links = self.linking.service
        self.channeling = Channeling(
            ground.database,
            self.steward,
            self.registry,
            self.permissions,
            ground.clock,
            self.chats,
            self.delivery,
            ground.bots | {ground.steward},
        )
        self.channels = self.channeling.service
        self._backgrounds += [self.linking.background, self.channeling.background]
        reading = Reading(ground.rooms.bots_in, ground.steward, ground.decrypt)
        self.timing = Timing(
            ground.config,
            ground.database,
            self.steward,
            self.registry,
            self.permissions,
            self.audit,
            ground.clock,
            ground.metrics,
            self.chats,
            self.delivery,
            self.administration,
            ground.bots,
            reading,
        )
        self.timers = self.timing.timers
        self.retention = self.timing.retention
        self.searching = Search(
            ground.config,
            ground.database,
            self.steward,
            self.registry,
            self.permissions,
            self.audit,
            ground.clock,
            reading,
        )
        self.search = self.searching.service
        self.rights = rights.make(
            ground.config,
            ground.database,
            ground.homeserver,
            self.steward,
            self.registry,
            self.administration,
            self.audit,
            self.notices,
            ground.raise_events,
            ground.clock,
            ground.bots | {ground.steward},
            self._parts,
        )
        self._backgrounds.append(self.rights.background)
        ground.chats.join(self.registry, self._made, ground.config.engine.shards)

    @property
    def _parts(self) -> list[Part]:
        """What each area holds about people. The composition root registers what is not the messenger's."""
        key = self.ground.config.encryption.pickle_key.get_secret_value()
        return [
            chat_rights.Part(),
            privacy_rights.Part(),
            self.moderating.part,
            delivery_rights.Part(),
            self.linking.part,
            channel_rights.Part(),
            timer_rights.Part(),
            retention_rights.Part(),
            self.searching.part,
            identity_rights.Part(key),
        ]

    def _page_url(self, path: str) -> str:
        return self.ground.url(path) if self.ground.config.web.enabled else ""

    async def _hides_receipts(self, user_id: str) -> bool:
        return (await self.privacy.settings(user_id)).receipts is Audience.NOBODY

    async def inhabited(self, room_id: str, besides: str) -> bool | None:
        """Whether a chat has members beside somebody who has just left it; None for what is no chat with a steward."""
        chat = self.registry.get(room_id)
        read = self.ground.database.read
        if chat is None:
            known = await read(lambda connection: chat_store.by_room(connection, room_id))
            # Everybody is being removed from it: whether anybody is left is not to be asked for each of them.
            return True if known is not None and known.deleted_at is not None else None
        if self.steward.of(chat) is not self.steward:
            return None
        return await read(lambda connection: chat_store.inhabited(connection, room_id, self.ground.bots | {besides}))

    async def _purge(self, room_id: str) -> bool:
        if not self.administration.available:
            return False
        await self.administration.delete_room(room_id)
        return True

    def _made(self, chat: Chat) -> None:
        """A bot has made a chat with a person, and the database has it."""
        self.registry.put(chat)
        self.chats.fill()

    @property
    def features(self) -> list[Consumer]:
        """Consumers that see every event, in this order."""
        found: list[Consumer] = [
            self.member_feature,
            self.slow_mode,
        ]
        found.extend(self.private.features)
        found.extend(self.timing.features)  # before the one that numbers events: readings are known by numbers
        found.extend(self.moderating.features)
        found.extend(self.delivering.features)
        found.extend(self.searching.features)
        found.extend(self.linking.features)
        found.extend(self.channeling.features)
        if self.embedding is not None:
            found.append(self.embedding.feature)
        return found

    @cached_property
    def embedding(self) -> Embedding | None:
        """The API for embedding products, where ``messenger.api.enabled`` says so."""
        if not self.ground.config.messenger.api.enabled:
            return None
        # Only where it is wanted: its models take time and memory.
        from bridge.api.embedding import Embedding
        from bridge.api.routes.base import Services

        services = Services(
            chats=self.chats,
            members=self.members,
            links=self.links,
            channels=self.channels,
            timers=self.timers,
            retention=self.retention,
            delivery=self.delivery,
            search=self.search,
            moderation=self.moderation,
            suspensions=self.moderating.suspensions,
            rights=self.rights,
        )
        return Embedding(self.ground, self.registry, self.steward, self.audit, self.administration, services)

    async def start(self) -> None:
        """Load what events need. The homeserver may be away."""
        await self.registry.start()
        await self.private.start()
        await self.moderating.start()
        await self.timing.start()
        await self.delivering.start()
        await self.searching.start()
        if self.embedding is not None:
            await self.embedding.start()

    async def run(self) -> None:
        """Start what runs by itself: timers, clean-ups. After the events began to flow."""
        self.private.run()
        await self.moderating.run()
        self.timing.run()
        await self.delivering.run()
        self.searching.run()
        for background in self._backgrounds:
            background.start()
        if self.embedding is not None:
            self.embedding.run()

    async def stop(self) -> None:
        """End what runs by itself; harmless when not started."""
        await self.moderating.stop()
        await self.private.stop()
        await self.timing.stop()
        await self.delivering.stop()
        await self.searching.stop()
        for background in self._backgrounds:
            await background.stop()
        if self.embedding is not None:
            await self.embedding.stop()
