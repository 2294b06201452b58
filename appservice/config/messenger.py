"""The shape of ``messenger`` in ``config.yaml``: chats, timers, privacy, search, the API for embedding products."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated

from pydantic import AfterValidator, Field

from appservice.config.base import Model, OptionalHttpUrl


class Chats(Model):
    most_members: int = Field(100_000, ge=2, description="Members of one chat at most.")


def _network(value: str) -> str:
    try:
        ip_network(value)
    except ValueError:
        raise ValueError(f"needs a network like 10.0.0.0/8, got {value!r}") from None
    return value


Network = Annotated[str, AfterValidator(_network)]


class Api(Model):
    enabled: bool = Field(
        False, description="Serve the API for embedding products below /api/v1. Needs web.enabled. See docs/api.md."
    )
    reads_per_minute: int = Field(3_000, ge=1, le=1_000_000, description="Requests that read, of one key.")
    writes_per_minute: int = Field(600, ge=1, le=1_000_000, description="Requests that write, of one key.")
    homeserver_url: OptionalHttpUrl = Field(
        "", description="Where people's devices reach the homeserver; homeserver.url unless said."
    )
    webhook_networks: tuple[Network, ...] = Field(
        (),
        description="Private networks that products' webhooks may be in, 10.1.0.0/16 for one; public addresses may be "
        "called anyway.",
    )


class Delivery(Model):
    keep_days: int = Field(
        365, ge=1, le=36_500, description="Days for which a chat's numbered events can be asked for; without content."
    )


class Search(Model):
    enabled: bool = Field(True, description="Search what the server may read: unencrypted chats, first of all.")
    services: bool = Field(
        True, description="People may give leave to search their own chats with services, which are encrypted."
    )
    past_pages_per_second: float = Field(
        5, gt=0, le=100, description="Pages of 100 messages in which the past of adopted chats is taken in."
    )


class Timers(Model):
    per_second: float = Field(
        50, gt=0, le=10_000, description="Messages that timers and retention remove in a second at most."
    )
    concurrency: int = Field(4, ge=1, le=100, description="Chats in which they do so at a time.")


class Retention(Model):
    days: int = Field(0, ge=0, le=36_500, description="Days that messages of all chats are kept at most; 0: for good.")


def _person(value: str) -> str:
    if not re.fullmatch(r"@[^:\s]+:\S+", value):
        raise ValueError(f"needs a user id like @alice:example.org, got {value!r}")
    return value


def _room(value: str) -> str:
    if not re.fullmatch(r"[!#]\S+", value):
        raise ValueError(f"needs a room like #list:example.org or !abc:example.org, got {value!r}")
    return value


class Moderation(Model):
    moderators: tuple[Annotated[str, AfterValidator(_person)], ...] = Field(
        (), description="Who decides about reports, in an encrypted room with @rialto. See docs/moderation.md."
    )
    reports_per_day: int = Field(30, ge=1, le=10_000, description="Reports of one person.")
    client_reports_every: float = Field(
        30,
        ge=0,
        le=86_400,
        description="Seconds between looks at the reports that people's clients make to the homeserver; 0: never. "
        "Needs homeserver.admin_token.",
    )
    evidence_days: int = Field(
        90, ge=1, le=3_650, description="Days that the words of a report are kept after the decision."
    )
    appeal_days: int = Field(30, ge=1, le=3_650, description="Days within which a decision can be appealed.")
    joins_per_minute: int = Field(
        30, ge=1, le=100_000, description="People who come to one chat by themselves; more close it for a while."
    )
    closed_minutes: int = Field(10, ge=1, le=10_080, description="How long a chat is closed then.")
    invites_per_hour: int = Field(200, ge=1, le=100_000, description="Invitations of one person.")
    policy_lists: tuple[Annotated[str, AfterValidator(_room)], ...] = Field(
        (), description="Rooms of moderation policy lists that are followed: #list:example.org, !abc:example.org."
    )
    most_policy_bans: int = Field(
        50,
        ge=1,
        le=1_000_000,
        description="People whom a rule with a pattern bans by itself; more are left to moderators.",
    )


class Rights(Model):
    archive_days: int = Field(7, ge=1, le=365, description="Days that an archive of a person's data is kept for them.")
    exports_per_day: int = Field(3, ge=1, le=1_000, description="Archives of one person.")


class Links(Model):
    most: int = Field(100, ge=1, le=10_000, description="Invite links of one chat that work at the same time.")
    most_requests: int = Field(
        1_000, ge=1, le=100_000, description="People who wait to be let into one chat by its invite links, at most."
    )


class Messenger(Model):
    chats: Chats = Field(default_factory=Chats, description="Chats and their members.")
    api: Api = Field(default_factory=Api, description="The API for embedding products.")
    links: Links = Field(default_factory=Links, description="Invite links.")
    delivery: Delivery = Field(default_factory=Delivery, description="Numbers of events, and who has which.")
    search: Search = Field(default_factory=Search, description="Full-text search.")
    timers: Timers = Field(default_factory=Timers, description="Message timers.")
    retention: Retention = Field(default_factory=Retention, description="How long messages are kept.")
    moderation: Moderation = Field(default_factory=Moderation, description="Reports, policy lists and floods.")
    rights: Rights = Field(default_factory=Rights, description="People's own data: archives and erasure.")
