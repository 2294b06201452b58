"""The product itself, its key, and its webhooks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, WithJsonSchema

from bridge.api.models.common import Body, Moment, Page, PageQuery, View
from bridge.domain.hooks import EVENTS


def _event(value: str) -> str:
    if value not in EVENTS:
        raise ValueError("is no type of event")
    return value


EventType = Annotated[str, AfterValidator(_event), WithJsonSchema({"type": "string", "enum": list(EVENTS)})]


class KeyView(View):
    """A key, without its secret."""

    id: str
    label: str
    scopes: list[str]
    created_at: Moment
    expires_at: Moment | None


class ProductView(View):
    """Who asks, and with which key."""

    name: str
    title: str
    key: KeyView


class Rotation(Body):
    """A new key in the place of the one that asks."""

    overlap: int = Field(86_400, ge=0, le=2_592_000, description="Seconds that the old key stays good.")


class RotatedKey(View):
    """The new key. It is shown this once."""

    key: str
    id: str
    old_expires_at: Moment


class NewWebhook(Body):
    """Where to tell what happens."""

    url: str = Field(
        min_length=8,
        max_length=2_000,
        pattern=r"^https?://[!-~]+$",
        description="https, and at a public address. Redirects are not followed.",
    )
    events: list[EventType] = Field(min_length=1, max_length=50, description="What is told.")


class WebhookChange(Body):
    """What is to be different. What is left out stays."""

    url: str | None = Field(None, min_length=8, max_length=2_000, pattern=r"^https?://[!-~]+$")
    events: list[EventType] | None = Field(None, min_length=1, max_length=50)
    paused: bool | None = Field(None, description="Nothing is sent while it is; nor is it kept for later.")


class WebhookView(View):
    """A webhook."""

    id: str
    url: str
    events: list[str]
    paused: bool
    pause_reason: str
    created_at: Moment


class MadeWebhook(WebhookView):
    """A new webhook, or one with a new secret, which is shown this once."""

    secret: str


class WebhookPage(Page[WebhookView]):
    """Webhooks."""


class SecretRotation(Body):
    """A new secret; deliveries are signed with both for a while."""

    overlap: int = Field(86_400, ge=0, le=604_800, description="Seconds that the old secret signs too.")


class DeliveryQuery(PageQuery):
    """Which deliveries."""

    state: Literal["pending", "delivered", "failed"] | None = None


class DeliveryView(View):
    """One thing that is told to a webhook."""

    id: str
    type: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    last_status: int | None = Field(description="HTTP status of the last answer; 0: there was none.")
    due_at: Moment
    created_at: Moment
    finished_at: Moment | None


class DeliveryPage(Page[DeliveryView]):
    """Deliveries, the newest first."""
