"""The shape of ``messenger`` in ``config.yaml``: chats, timers, privacy, search, the API for embedding products."""

from __future__ import annotations

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


class Messenger(Model):
    chats: Chats = Field(default_factory=Chats, description="Chats and their members.")
    api: Api = Field(default_factory=Api, description="The API for embedding products.")
    delivery: Delivery = Field(default_factory=Delivery, description="Numbers of events, and who has which.")
    search: Search = Field(default_factory=Search, description="Full-text search.")
