"""Moderation, the audit log, webhooks."""

from __future__ import annotations

from typing import Any

from bridge.api.endpoints import Call, Endpoint
from bridge.api.models.common import PageQuery
from bridge.api.models.messages import (
    AuditPage,
    AuditQuery,
    AuditView,
    EvidenceView,
    ReportAction,
    ReportPage,
    ReportQuery,
    ReportView,
)
from bridge.api.models.products import (
    DeliveryPage,
    DeliveryQuery,
    DeliveryView,
    MadeWebhook,
    NewWebhook,
    SecretRotation,
    WebhookChange,
    WebhookPage,
    WebhookView,
)
from bridge.api.routes.base import Base
from bridge.domain.hooks import DeliveryState
from bridge.moderation.cases import Case
from bridge.store import chats
from bridge.store.webhooks import Delivery, Webhook

STATES = {DeliveryState.PENDING: "pending", DeliveryState.DELIVERED: "delivered", DeliveryState.FAILED: "failed"}


class WebhookRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._webhooks = base.webhooks

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        read, write = "webhooks.read", "webhooks.write"
        webhook = "/webhooks/{webhook}"
        return [
            Endpoint(
                "listWebhooks", "GET", "/webhooks", "List webhooks", self.page, "Webhooks", read, WebhookPage,
                query=PageQuery,
            ),
            Endpoint(
                "createWebhook", "POST", "/webhooks", "Add a webhook", self.create, "Webhooks", write, MadeWebhook,
                body=NewWebhook, status=201,
            ),
            Endpoint("getWebhook", "GET", webhook, "Get a webhook", self.get, "Webhooks", read, WebhookView),
            Endpoint(
                "changeWebhook", "PATCH", webhook, "Change a webhook", self.change, "Webhooks", write, WebhookView,
                body=WebhookChange,
            ),
            Endpoint("deleteWebhook", "DELETE", webhook, "Remove a webhook", self.delete, "Webhooks", write),
            Endpoint(
                "rotateWebhookSecret", "POST", f"{webhook}/secret/rotate", "Rotate a webhook's secret", self.rotate,
                "Webhooks", write, MadeWebhook, body=SecretRotation,
            ),
            Endpoint(
                "pingWebhook", "POST", f"{webhook}/ping", "Have a webhook told something", self.ping, "Webhooks",
                write, DeliveryView, status=202,
            ),
            Endpoint(
                "listDeliveries", "GET", f"{webhook}/deliveries", "What a webhook was told", self.deliveries,
                "Webhooks", read, DeliveryPage, query=DeliveryQuery,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, PageQuery]) -> WebhookPage:
        """A page of webhooks."""
        place = "webhooks"
        after = self._base.after(place, call.query.after)
        limit = call.query.limit
        found = await self._webhooks.page(call.product.name, after[0] if after else "", limit + 1)
        shown, following = self._base.page(place, found, limit, lambda each: (each.id,))
        return WebhookPage(items=[_hook(each) for each in shown], next=following)

    async def create(self, call: Call[NewWebhook, None]) -> MadeWebhook:
        """A new one."""
        hook, secret = await self._webhooks.add(call.product.name, call.body.url, call.body.events, call.once)
        return _made(hook, secret)

    async def get(self, call: Call[None, None]) -> WebhookView:
        """One."""
        return _hook(await self._webhooks.get(call.product.name, call.params["webhook"]))

    async def change(self, call: Call[WebhookChange, None]) -> WebhookView:
        """Another address, other events, paused or not."""
        body = call.body
        changed = await self._webhooks.change(
            call.product.name, call.params["webhook"], url=body.url, events=body.events, paused=body.paused
        )
        return _hook(changed)

    async def delete(self, call: Call[None, None]) -> None:
        """Gone."""
        await self._webhooks.remove(call.product.name, call.params["webhook"])

    async def rotate(self, call: Call[SecretRotation, None]) -> MadeWebhook:
        """A new secret."""
        hook, secret = await self._webhooks.rotate(
            call.product.name,
            call.params["webhook"],
            call.body.overlap,
            lambda connection, hook, secret: call.done(connection, _made(hook, secret)),
        )
        return _made(hook, secret)

    async def ping(self, call: Call[None, None]) -> DeliveryView:
        """A test."""
        product, webhook = call.product.name, call.params["webhook"]
        delivery_id = await self._webhooks.ping(product, webhook, f"ping\0{call.once}")
        made = await self._webhooks.delivery(product, webhook, delivery_id)
        return _delivery(made)

    async def deliveries(self, call: Call[None, DeliveryQuery]) -> DeliveryPage:
        """A page of deliveries."""
        webhook, query = call.params["webhook"], call.query
        place = f"deliveries\0{webhook}\0{query.state}"
        after = self._base.after(place, query.after)
        state = next((each for each, word in STATES.items() if word == query.state), None)
        found = await self._webhooks.deliveries(call.product.name, webhook, state, after, query.limit + 1)
        shown, following = self._base.page(place, found, query.limit, lambda each: (each.created_at, each.id))
        return DeliveryPage(items=[_delivery(each) for each in shown], next=following)


class AuditRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "listAudit", "GET", "/audit", "Search the audit log", self.page, "Audit", "audit.read", AuditPage,
                query=AuditQuery, problems=(404,),
                description="What the product's keys decided; with `chat`, everything that was decided about a chat.",
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, AuditQuery]) -> AuditPage:
        """A page of decisions."""
        query = call.query
        chat = None if query.chat is None else await self._base.chat_of(call, query.chat)
        place = f"audit\0{'' if chat is None else chat.id}"
        after = self._base.after(place, query.after)
        found = await self._base.audit.list(
            subject=None if chat is None else f"chat:{chat.id}",
            actor=call.actor.name if chat is None else None,
            since=query.since,
            until=query.until,
            before=after[0] if after else None,
            limit=query.limit + 1,
        )
        shown, following = self._base.page(place, found, query.limit, lambda each: (each.seq,))
        items = [
            AuditView(
                seq=each.seq,
                at=each.at,
                actor=each.actor,
                action=each.action,
                subject=each.subject,
                outcome=each.outcome,
                details=None if each.details is None else dict(each.details),
            )
            for each in shown
        ]
        return AuditPage(items=items, next=following)


class ModerationRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._moderation = base.services.moderation

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "listReports", "GET", "/reports", "List reports", self.page, "Moderation", "moderation.read",
                ReportPage, query=ReportQuery,
            ),
            Endpoint(
                "getReport", "GET", "/reports/{report}", "Get a report", self.get, "Moderation", "moderation.read",
                ReportView,
            ),
            Endpoint(
                "actOnReport", "POST", "/reports/{report}/actions", "Act on a report", self.act, "Moderation",
                "moderation.write", ReportView, body=ReportAction,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, ReportQuery]) -> ReportPage:
        """The queue."""
        query = call.query
        found = await self._moderation.queue(call.actor, state=query.state, after=query.after, limit=query.limit)
        return ReportPage(items=[await self._view(each) for each in found.items], next=found.next)

    async def get(self, call: Call[None, None]) -> ReportView:
        """One report."""
        return await self._view(await self._moderation.get(call.actor, call.params["report"]))

    async def act(self, call: Call[ReportAction, None]) -> ReportView:
        """A decision."""
        body = call.body
        decided = await self._moderation.act(
            call.actor, call.params["report"], body.action, seconds=body.seconds, reason=body.reason
        )
        return await self._view(decided)

    async def _view(self, case: Case) -> ReportView:
        chat = await self._base.database.read(lambda connection: chats.by_room(connection, case.room_id))
        return ReportView(
            id=case.id,
            chat=None if chat is None else chat.id,
            event_id=case.event_id or None,
            subject=case.subject,
            reporters=len(case.reporters),
            reasons=list(case.reasons),
            evidence=[EvidenceView(body=it.body, event_id=it.event_id, seen=it.seen) for it in case.evidence],
            state=case.state.value,
            action=None if case.action is None else case.action.value,
            seconds=case.seconds,
            note=case.note,
            problem=case.problem,
            appealed=None if case.appealed is None else case.appealed.value,
            created_at=case.created_at,
            decided_at=case.decided_at,
        )


def _hook(hook: Webhook) -> WebhookView:
    return WebhookView(
        id=hook.id,
        url=hook.url,
        events=sorted(hook.events),
        paused=hook.paused_at is not None,
        pause_reason=hook.pause_reason,
        created_at=hook.created_at,
    )


def _made(hook: Webhook, secret: str) -> MadeWebhook:
    return MadeWebhook(**_hook(hook).model_dump(), secret=secret)


def _delivery(delivery: Delivery) -> DeliveryView:
    state: Any = STATES[delivery.state]
    return DeliveryView(
        id=delivery.id,
        type=delivery.type,
        state=state,
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        due_at=delivery.due_at,
        created_at=delivery.created_at,
        finished_at=delivery.finished_at,
    )
