"""Moderation in one piece: its services, features and tasks."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Connection

from appservice.administration import Administration
from appservice.clock import Clock
from appservice.config import Config
from appservice.consumer import Consumer
from appservice.database import Database
from appservice.events import InternalEvent
from appservice.homeserver import Homeserver
from appservice.metrics import Metrics
from bridge.audit import Audit
from bridge.chats import Chats
from bridge.chats.consent import Consent
from bridge.chats.members import MemberService
from bridge.moderation.actions import Actions
from bridge.moderation.appeal_links import AppealLinks
from bridge.moderation.authority import Authority
from bridge.moderation.desk import Desk
from bridge.moderation.feature import ReportsFeature
from bridge.moderation.homeserver_reports import HomeserverReports
from bridge.moderation.limits import FloodFeature, InviteLimit
from bridge.moderation.policies import PolicyService
from bridge.moderation.policy_feature import PolicyFeature
from bridge.moderation.rights import Part
from bridge.moderation.service import Ground, Limits, ModerationService
from bridge.moderation.suspensions import Suspensions
from bridge.moderation.words import Book
from bridge.notices import Notices
from bridge.privacy.policy import ALLOW, Decision, Policy
from bridge.registry import Registry
from bridge.steward import Steward
from bridge.store import retention, suspensions

TOO_MANY: Final = Decision(False, "too_many_invites", "You have invited many people. Go on in an hour.")
NOT_WANTED: Final = Decision(False, "policy", "A moderation policy of this server does not let you do that.")


class Moderation:
    """Everything of it. ``start`` before events flow, ``run`` after, ``stop`` at the end."""

    def __init__(
        self,
        config: Config,
        database: Database,
        homeserver: Homeserver,
        steward: Steward,
        registry: Registry,
        members: MemberService,
        chats: Chats,
        administration: Administration,
        notices: Notices,
        raise_events: Callable[[Callable[[Connection], Iterable[InternalEvent]]], Awaitable[Any]],
        audit: Audit,
        clock: Clock,
        metrics: Metrics,
        screening: Policy,
        consent: Consent,
        service_users: Collection[str],
        readers: Callable[[str], Iterable[str]],
        hub: str,
        url: Callable[[str], str],
    ) -> None:
        """
        Args:
            screening: asks us what people may do, where the homeserver has our module.
            consent: what people's own settings say about being invited.
            readers: the service's users that are in a room.
            hub: user id of ``@rialto``; '' for none.
            url: the address of a path of the web listener; '' where there is none.
        """
        section = config.messenger.moderation
        server = config.homeserver.server_name
        book = Book(config.encryption.pickle_key.get_secret_value())
        authority = Authority(section.moderators)
        self._screening = screening
        self.part = Part(book)
        self.invites = InviteLimit(consent, clock, metrics, section.invites_per_hour)
        self.desk = Desk(
            chats, Steward(homeserver, hub, server), authority, database, registry, notices, audit, book, clock
        )

        def look(room_id: str) -> Steward | None:
            inside = sorted(set(readers(room_id)))
            return Steward(homeserver, inside[0], server) if inside else None

        async def held(room_id: str) -> bool:
            return await database.read(lambda connection: retention.is_held(connection, room_id))

        async def suspended(user_id: str) -> bool:
            return await database.read(lambda connection: suspensions.by_product(connection, user_id))

        self.suspensions = Suspensions(database, administration, audit, book, clock)
        ground = Ground(
            steward=steward,
            database=database,
            registry=registry,
            actions=Actions(steward, members, registry, administration, held, suspended),
            authority=authority,
            desk=self.desk,
            notices=notices,
            raise_events=raise_events,
            audit=audit,
            book=book,
            clock=clock,
            metrics=metrics,
            server_name=server,
            service_users=frozenset(service_users),
            look=look,
            appeal_links=AppealLinks(config.encryption.pickle_key.get_secret_value(), url),
        )
        limits = Limits(section.reports_per_day, section.evidence_days, section.appeal_days)
        self.service = ModerationService(ground, limits)
        self.policies = PolicyService(
            steward,
            database,
            registry,
            authority,
            self.desk,
            raise_events,
            audit,
            clock,
            metrics,
            service_users=service_users,
            configured=section.policy_lists,
            most_bans=section.most_policy_bans,
        )
        self.floods = FloodFeature(
            steward,
            database,
            registry,
            notices,
            audit,
            clock,
            metrics,
            self.service,
            self.invites,
            joins_per_minute=section.joins_per_minute,
            closed_minutes=section.closed_minutes,
            service_users=service_users,
        )
        self.client_reports = HomeserverReports(
            administration, self.service, database, clock, int(section.client_reports_every * 1000)
        )
        self.features: list[Consumer] = [
            ReportsFeature(steward, registry, self.service, self.desk, notices, service_users),
            PolicyFeature(steward, registry, self.policies, clock),
            self.floods,
        ]
        self._backgrounds = [
            self.service.background,
            self.desk.background,
            self.policies.background,
            self.floods.background,
            self.client_reports.background,
            self.suspensions.background,
        ]
        screening.add("invite", self._screen)

    async def _screen(self, asked: Mapping[str, Any]) -> Decision:
        """An invitation, as the homeserver's module puts it to us before it is made."""
        self.floods.screened = True
        sender, room_id = str(asked.get("sender", "")), str(asked.get("room_id", ""))
        if self.policies.against(sender) is not None or self.policies.rules.about_room(room_id) is not None:
            return NOT_WANTED
        return TOO_MANY if self.invites.over(sender) else ALLOW

    async def start(self) -> None:
        """Load what events need."""
        await self.policies.start()

    async def run(self) -> None:
        """Begin what runs by itself."""
        await self.service.count_open()
        for background in self._backgrounds:
            background.start()

    async def stop(self) -> None:
        """End; harmless when it has not begun."""
        for background in self._backgrounds:
            await background.stop()
