"""Invite links and join requests."""

from __future__ import annotations

import asyncio
from typing import Final

from bridge.api.endpoints import Binary, Call, Endpoint
from bridge.api.models.common import PageQuery
from bridge.api.models.members import (
    JoinAnswer,
    JoinRequestPage,
    JoinRequestView,
    LinkPage,
    LinkView,
    NewLink,
)
from bridge.api.problems import Problem
from bridge.api.routes.base import Base
from bridge.domain.links import Link
from bridge.store.links import Request

SVG: Final = "image/svg+xml"
PNG: Final = "image/png"


class LinkRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._links = base.services.links

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        return [
            Endpoint(
                "listLinks", "GET", "/chats/{chat}/links", "List invite links", self.page, "Links", "links.read",
                LinkPage, query=PageQuery,
            ),
            Endpoint(
                "createLink", "POST", "/chats/{chat}/links", "Make an invite link", self.create, "Links",
                "links.write", LinkView, body=NewLink, status=201,
            ),
            Endpoint(
                "revokeLink", "DELETE", "/chats/{chat}/links/{link}", "Revoke an invite link", self.revoke, "Links",
                "links.write",
            ),
            Endpoint(
                "getLinkQr", "GET", "/chats/{chat}/links/{link}/qr", "Get an invite link as a QR code", self.qr,
                "Links", "links.read", media=(SVG, PNG), problems=(410,),
                description="A picture of the link's address, or of its code where there are no pages. `Accept` says "
                "which type.",
            ),
            Endpoint(
                "listJoinRequests", "GET", "/chats/{chat}/requests", "List join requests", self.requests, "Links",
                "members.read", JoinRequestPage, query=PageQuery,
            ),
            Endpoint(
                "answerJoinRequest", "PUT", "/chats/{chat}/requests/{person}", "Answer a join request", self.answer,
                "Links", "members.write", body=JoinAnswer,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, PageQuery]) -> LinkPage:
        """A page of links."""
        chat = await self._base.chat(call)
        place = f"links\0{chat.id}"
        after = self._base.after(place, call.query.after)
        found = sorted(await self._links.list(call.actor, chat), key=_made, reverse=True)
        if after is not None:
            found = [each for each in found if _made(each) < after]
        limit = call.query.limit
        shown, following = self._base.page(place, found[: limit + 1], limit, _made)
        return LinkPage(items=[self._view(each) for each in shown], next=following)

    async def create(self, call: Call[NewLink, None]) -> LinkView:
        """A new one."""
        chat, body = await self._base.chat(call), call.body
        made = await self._links.create(
            call.actor,
            chat,
            expires_in=body.expires_in,
            uses=body.uses,
            approval=body.approval,
            title=body.title,
            also=lambda connection, link: call.done(connection, self._view(link)),
        )
        return self._view(made)

    async def revoke(self, call: Call[None, None]) -> None:
        """It opens nothing any more."""
        await self._links.revoke(call.actor, await self._base.chat(call), call.params["link"])

    async def qr(self, call: Call[None, None]) -> Binary:
        """Its picture."""
        link = await self._links.get(call.actor, await self._base.chat(call), call.params["link"])
        if link.ended(call.now) is not None:
            raise Problem(410, "link_ended", "This invite link lets nobody in any more.")
        # Drawing takes its time: not on the event loop.
        draw = self._links.qr_png if call.media == PNG else self._links.qr_svg_file
        return Binary(call.media, await asyncio.to_thread(draw, link))

    async def requests(self, call: Call[None, PageQuery]) -> JoinRequestPage:
        """Who asks to join."""
        chat = await self._base.chat(call)
        place = f"requests\0{chat.id}"
        after = self._base.after(place, call.query.after)
        found = sorted(await self._links.requests(call.actor, chat), key=_asked)
        if after is not None:
            found = [each for each in found if _asked(each) > after]
        limit = call.query.limit
        shown, following = self._base.page(place, found[: limit + 1], limit, _asked)
        names = await self._base.people.names(call.product.name, {each.user_id for each in shown})
        items = [
            JoinRequestView(user_id=each.user_id, external_id=names.get(each.user_id), since=_asked(each)[0])
            for each in shown
        ]
        return JoinRequestPage(items=items, next=following)

    async def answer(self, call: Call[JoinAnswer, None]) -> None:
        """In, or not."""
        chat = await self._base.chat(call)
        await self._links.answer(call.actor, chat, await self._base.person(call), call.body.accept)

    def _view(self, link: Link) -> LinkView:
        return LinkView(
            id=link.id,
            url=self._links.url(link),
            code=link.token or self._links.codes.of(link.id),
            title=link.title,
            approval=link.approval,
            uses=link.uses,
            used=link.used,
            expires_at=link.expires_at,
            revoked_at=link.revoked_at,
            created_at=link.created_at,
        )


def _made(link: Link) -> tuple[int, str]:
    return link.created_at, link.id


def _asked(request: Request) -> tuple[int, str]:
    return request.since, request.user_id
