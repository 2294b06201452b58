"""The areas of the API: a method for each operation, with the models that the API itself is made of."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Literal

from bridge.api.models import chats, members, messages, people, products
from bridge.client.transport import Transport, path_of


def _given(**values: Any) -> dict[str, Any]:
    """What is not None: the rest is left out of the request."""
    return {name: value for name, value in values.items() if value is not None}


class Area:
    """A part of the API."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class ProductArea(Area):
    """The product itself and its key."""

    async def get(self) -> products.ProductView:
        """Who the key belongs to."""
        return await self._transport.one(products.ProductView, "GET", "/product")

    async def rotate_key(self, *, overlap: int = 86_400, key: str | None = None) -> products.RotatedKey:
        """A new key; the one in use stays good for ``overlap`` seconds."""
        body = products.Rotation(overlap=overlap)
        return await self._transport.one(products.RotatedKey, "POST", "/product/key/rotate", body, key=key)


class People(Area):
    """The product's people."""

    async def create(self, external_id: str, *, display_name: str = "", key: str | None = None) -> people.PersonView:
        """Somebody, with an account that is made for them."""
        body = people.NewPerson(external_id=external_id, display_name=display_name)
        return await self._transport.one(people.PersonView, "POST", "/people", body, key=key)

    async def link(self, external_id: str, openid_token: str, *, key: str | None = None) -> people.PersonView:
        """Somebody who has an account."""
        body = people.NewPerson(external_id=external_id, openid_token=openid_token)
        return await self._transport.one(people.PersonView, "POST", "/people", body, key=key)

    async def get(self, person: str) -> people.PersonView:
        """One of them, by the product's own id or by user id."""
        return await self._transport.one(people.PersonView, "GET", path_of("people", person))

    async def rename(self, person: str, display_name: str) -> people.PersonView:
        """Change what others see."""
        body = people.PersonChange(display_name=display_name)
        return await self._transport.one(people.PersonView, "PATCH", path_of("people", person), body)

    async def deactivate(self, person: str) -> None:
        """End the account, or unlink it when it is the person's own."""
        await self._transport.none("DELETE", path_of("people", person))

    async def sign_in(self, person: str, *, expires_in: int = 120) -> people.SignInToken:
        """A token for one device of theirs."""
        body = people.NewSignIn(expires_in=expires_in)
        return await self._transport.one(people.SignInToken, "POST", path_of("people", person, "sign-in"), body)

    async def suspension(self, person: str) -> people.SuspensionView:
        """The product's suspension of somebody."""
        return await self._transport.one(people.SuspensionView, "GET", path_of("people", person, "suspension"))

    async def suspend(self, person: str, reason: str) -> people.SuspensionView:
        """Let an account read and leave, and nothing else."""
        body = people.NewSuspension(reason=reason)
        return await self._transport.one(people.SuspensionView, "PUT", path_of("people", person, "suspension"), body)

    async def unsuspend(self, person: str) -> None:
        """Lift a suspension."""
        await self._transport.none("DELETE", path_of("people", person, "suspension"))

    async def export(
        self, person: str, *, openid_token: str | None = None, key: str | None = None
    ) -> people.ExportView:
        """Have a copy made of all that is held about somebody."""
        body, path = people.Proof(**_given(openid_token=openid_token)), path_of("people", person, "exports")
        return await self._transport.one(people.ExportView, "POST", path, body, key=key)

    async def get_export(self, export: str) -> people.ExportView:
        """How far an export is, and where it is fetched."""
        return await self._transport.one(people.ExportView, "GET", path_of("exports", export))

    async def fetch(self, export: people.ExportView) -> bytes:
        """The archive of an export that is done: a zip file. It is asked for a new link first."""
        found = await self.get_export(export.id)
        path = path_of("archives", (found.url or "").rpartition("/")[2])
        return await self._transport.request("GET", path, accept="application/zip")

    async def erase(
        self, person: str, *, openid_token: str | None = None, key: str | None = None
    ) -> people.ErasureView:
        """Have somebody erased, everywhere. There is no way back."""
        body, path = people.Proof(**_given(openid_token=openid_token)), path_of("people", person, "erasures")
        return await self._transport.one(people.ErasureView, "POST", path, body, key=key)

    async def get_erasure(self, erasure: str) -> people.ErasureView:
        """How far an erasure is."""
        return await self._transport.one(people.ErasureView, "GET", path_of("erasures", erasure))

    async def exchange(self, token: str) -> people.SignedIn:
        """What the device does with the token. It needs no key."""
        return await self._transport.one(people.SignedIn, "POST", "/sign-in", people.SignIn(token=token))

    def all(self) -> AsyncIterator[people.PersonView]:
        """Everybody."""
        return self._transport.pages(people.PeoplePage, "/people", {"limit": 200})


class Chats(Area):
    """Chats and channels."""

    async def create(
        self,
        kind: chats.KindWord,
        name: str,
        *,
        topic: str | None = None,
        public: bool | None = None,
        external_id: str | None = None,
        alias: str | None = None,
        owner: str | None = None,
        members: Sequence[str] = (),
        key: str | None = None,
    ) -> chats.ChatView:
        """A new chat."""
        body = chats.NewChat(
            kind=kind,
            name=name,
            **_given(topic=topic, public=public, external_id=external_id, alias=alias, owner=owner),
            members=list(members),
        )
        return await self._transport.one(chats.ChatView, "POST", "/chats", body, key=key)

    async def get(self, chat: str) -> chats.ChatView:
        """One of them, by its id, its room's id, or ``ext:`` and the product's own id."""
        return await self._transport.one(chats.ChatView, "GET", path_of("chats", chat))

    async def change(
        self,
        chat: str,
        *,
        name: str | None = None,
        topic: str | None = None,
        avatar_url: str | None = None,
        slow_mode: int | None = None,
        archived: bool | None = None,
    ) -> chats.ChatView:
        """Change what is not None."""
        body = chats.ChatChange(
            **_given(name=name, topic=topic, avatar_url=avatar_url, slow_mode=slow_mode, archived=archived)
        )
        return await self._transport.one(chats.ChatView, "PATCH", path_of("chats", chat), body)

    async def delete(self, chat: str) -> None:
        """Delete it for all."""
        await self._transport.none("DELETE", path_of("chats", chat))

    async def upgrade(self, chat: str) -> chats.ChatView:
        """Go on in a new room."""
        return await self._transport.one(chats.ChatView, "POST", path_of("chats", chat, "upgrade"))

    async def pin(self, chat: str, event_id: str) -> None:
        """Pin a message."""
        await self._transport.none("POST", path_of("chats", chat, "pins"), chats.Pin(event_id=event_id))

    async def unpin(self, chat: str, event_id: str) -> None:
        """Unpin a message."""
        await self._transport.none("DELETE", path_of("chats", chat, "pins", event_id))

    async def set_discussion(self, chat: str, group: str | None) -> None:
        """Set a channel's discussion group."""
        await self._transport.none("PUT", path_of("chats", chat, "discussion"), chats.Discussion(group=group))

    async def post_statistics(self, chat: str, event_id: str) -> chats.PostStatistics:
        """How a post was received."""
        path = path_of("chats", chat, "posts", event_id, "statistics")
        return await self._transport.one(chats.PostStatistics, "GET", path)

    async def timer(self, chat: str) -> chats.TimerView:
        """How long messages stay."""
        return await self._transport.one(chats.TimerView, "GET", path_of("chats", chat, "timer"))

    async def set_timer(self, chat: str, seconds: int | None, *, start: str = "sent") -> chats.TimerView:
        """Say how long messages stay; None: for good."""
        body = chats.TimerChange.model_validate({"seconds": seconds, "start": start})
        return await self._transport.one(chats.TimerView, "PUT", path_of("chats", chat, "timer"), body)

    def all(self, *, kind: chats.KindWord | None = None) -> AsyncIterator[chats.ChatView]:
        """All of them, those made last first."""
        return self._transport.pages(chats.ChatPage, "/chats", {"limit": 200, "kind": kind})


class Members(Area):
    """Who is in a chat."""

    def all(
        self, chat: str, *, role: members.RoleWord | None = None, query: str | None = None
    ) -> AsyncIterator[members.MemberView]:
        """All of them, those with most power first."""
        wanted = {"limit": 200, "role": role, "query": query}
        return self._transport.pages(members.MemberPage, path_of("chats", chat, "members"), wanted)

    async def page(self, chat: str, *, limit: int = 50, after: str | None = None) -> members.MemberPage:
        """A page of them."""
        query = {"limit": limit, "after": after}
        return await self._transport.one(members.MemberPage, "GET", path_of("chats", chat, "members"), query=query)

    async def add(self, chat: str, person: str, *, role: members.RoleWord | None = None) -> members.MemberView:
        """Invite somebody."""
        body = members.NewMember(person=person, **_given(role=role))
        return await self._transport.one(members.MemberView, "POST", path_of("chats", chat, "members"), body)

    async def get(self, chat: str, person: str) -> members.MemberView:
        """One of them."""
        return await self._transport.one(members.MemberView, "GET", path_of("chats", chat, "members", person))

    async def set_role(self, chat: str, person: str, role: members.RoleWord) -> members.MemberView:
        """Promote or demote somebody."""
        path = path_of("chats", chat, "members", person)
        return await self._transport.one(members.MemberView, "PATCH", path, members.RoleChange(role=role))

    async def remove(self, chat: str, person: str, *, reason: str | None = None) -> None:
        """Remove somebody."""
        await self._transport.none("DELETE", path_of("chats", chat, "members", person), query={"reason": reason})

    async def mute(self, chat: str, person: str, seconds: int | None = None) -> members.MemberView:
        """Have somebody be silent; None: until they are unmuted."""
        path = path_of("chats", chat, "members", person, "mute")
        return await self._transport.one(members.MemberView, "PUT", path, members.Mute(seconds=seconds))

    async def unmute(self, chat: str, person: str) -> members.MemberView:
        """Let somebody speak again."""
        return await self._transport.one(
            members.MemberView, "DELETE", path_of("chats", chat, "members", person, "mute")
        )

    async def ban(self, chat: str, person: str, *, reason: str = "") -> None:
        """Keep somebody out."""
        await self._transport.none("PUT", path_of("chats", chat, "bans", person), members.Reason(reason=reason))

    async def unban(self, chat: str, person: str) -> None:
        """Let somebody come again."""
        await self._transport.none("DELETE", path_of("chats", chat, "bans", person))

    async def transfer(self, chat: str, person: str) -> None:
        """Hand the chat over."""
        await self._transport.none("PUT", path_of("chats", chat, "owner"), members.NewOwner(person=person))


class Links(Area):
    """Invite links and join requests."""

    async def create(
        self,
        chat: str,
        *,
        title: str | None = None,
        expires_in: int | None = None,
        uses: int | None = None,
        approval: bool | None = None,
        key: str | None = None,
    ) -> members.LinkView:
        """A new link."""
        body = members.NewLink(**_given(title=title, expires_in=expires_in, uses=uses, approval=approval))
        return await self._transport.one(members.LinkView, "POST", path_of("chats", chat, "links"), body, key=key)

    def all(self, chat: str) -> AsyncIterator[members.LinkView]:
        """All of a chat, those made last first."""
        return self._transport.pages(members.LinkPage, path_of("chats", chat, "links"), {"limit": 200})

    async def revoke(self, chat: str, link: str) -> None:
        """Let a link open nothing any more."""
        await self._transport.none("DELETE", path_of("chats", chat, "links", link))

    async def qr(self, chat: str, link: str, kind: Literal["svg", "png"] = "svg") -> bytes:
        """A link as a QR code: a picture to scan."""
        accept = "image/png" if kind == "png" else "image/svg+xml"
        return await self._transport.request("GET", path_of("chats", chat, "links", link, "qr"), accept=accept)

    def requests(self, chat: str) -> AsyncIterator[members.JoinRequestView]:
        """Who asks to join."""
        return self._transport.pages(members.JoinRequestPage, path_of("chats", chat, "requests"), {"limit": 200})

    async def answer(self, chat: str, person: str, *, accept: bool) -> None:
        """Let somebody in, or not."""
        path = path_of("chats", chat, "requests", person)
        await self._transport.none("PUT", path, members.JoinAnswer(accept=accept))


class Retention(Area):
    """How long messages are kept at the most, and legal holds."""

    async def get(self, chat: str | None = None) -> chats.RetentionView:
        """Of a chat, or of the workspace."""
        return await self._transport.one(chats.RetentionView, "GET", _retention(chat))

    async def set(self, days: int | None, chat: str | None = None) -> chats.RetentionView:
        """Of a chat, or of the workspace; None: what the wider rule says."""
        body = chats.RetentionChange(days=days)
        return await self._transport.one(chats.RetentionView, "PUT", _retention(chat), body)

    async def hold(self, chat: str, reason: str) -> None:
        """Keep everything of a chat."""
        await self._transport.none("PUT", path_of("chats", chat, "hold"), chats.NewHold(reason=reason))

    async def release(self, chat: str) -> None:
        """Lift a hold."""
        await self._transport.none("DELETE", path_of("chats", chat, "hold"))

    def holds(self) -> AsyncIterator[chats.HoldView]:
        """All holds."""
        return self._transport.pages(chats.HoldPage, "/holds", {"limit": 200})


class Messages(Area):
    """Notices, what became of messages, what happened in a chat, search."""

    async def send(
        self, chat: str, text: str, *, html: str | None = None, key: str | None = None
    ) -> messages.MessageView:
        """Send a notice."""
        body = messages.NewMessage(text=text, **_given(html=html))
        return await self._transport.one(
            messages.MessageView, "POST", path_of("chats", chat, "messages"), body, key=key
        )

    def comments(self, chat: str, event_id: str) -> AsyncIterator[messages.CommentView]:
        """The comments on a post of a channel, the first first."""
        path = path_of("chats", chat, "posts", event_id, "comments")
        return self._transport.pages(messages.CommentPage, path, {"limit": 200})

    async def comment(
        self, chat: str, event_id: str, text: str, *, html: str | None = None, key: str | None = None
    ) -> messages.MessageView:
        """Comment on a post of a channel."""
        body = messages.NewMessage(text=text, **_given(html=html))
        path = path_of("chats", chat, "posts", event_id, "comments")
        return await self._transport.one(messages.MessageView, "POST", path, body, key=key)

    async def get(self, chat: str, message: str) -> messages.MessageView:
        """What became of a notice."""
        return await self._transport.one(messages.MessageView, "GET", path_of("chats", chat, "messages", message))

    async def status(self, chat: str, event_id: str) -> messages.StatusView:
        """Sent, delivered, read."""
        path = path_of("chats", chat, "events", event_id, "status")
        return await self._transport.one(messages.StatusView, "GET", path)

    async def changes(self, chat: str, *, after: int = 0, limit: int = 50) -> messages.ChangesView:
        """What happened since a change that is known."""
        query = {"after": after, "limit": limit}
        return await self._transport.one(messages.ChangesView, "GET", path_of("chats", chat, "changes"), query=query)

    async def acknowledge(self, chat: str, person: str, event_id: str) -> None:
        """Say that a message has arrived at somebody."""
        path = path_of("chats", chat, "acknowledgements", person)
        await self._transport.none("PUT", path, messages.Acknowledgement(event_id=event_id))

    def search(
        self,
        text: str,
        *,
        chat: str | None = None,
        sender: str | None = None,
        since: int | None = None,
        until: int | None = None,
        kind: str | None = None,
    ) -> AsyncIterator[messages.HitView]:
        """Messages that hold words."""
        query = {"text": text, "chat": chat, "sender": sender, "since": since, "until": until, "kind": kind}
        return self._transport.pages(messages.HitPage, "/search", query)


class Reports(Area):
    """Moderation."""

    def all(self, *, state: str | None = None) -> AsyncIterator[messages.ReportView]:
        """Reports, the oldest first."""
        return self._transport.pages(messages.ReportPage, "/reports", {"limit": 200, "state": state})

    async def get(self, report: str) -> messages.ReportView:
        """One report."""
        return await self._transport.one(messages.ReportView, "GET", path_of("reports", report))

    async def act(
        self, report: str, action: str, *, reason: str | None = None, seconds: int | None = None
    ) -> messages.ReportView:
        """Do something about a report."""
        body = messages.ReportAction.model_validate(_given(action=action, reason=reason, seconds=seconds))
        return await self._transport.one(messages.ReportView, "POST", path_of("reports", report, "actions"), body)


class Audit(Area):
    """Every decision."""

    def all(
        self, *, chat: str | None = None, since: int | None = None, until: int | None = None
    ) -> AsyncIterator[messages.AuditView]:
        """The product's own, or all about a chat; the newest first."""
        query = {"limit": 200, "chat": chat, "since": since, "until": until}
        return self._transport.pages(messages.AuditPage, "/audit", query)


class Webhooks(Area):
    """What is told as it happens."""

    async def create(self, url: str, events: Sequence[str], *, key: str | None = None) -> products.MadeWebhook:
        """A new webhook, with its secret."""
        body = products.NewWebhook(url=url, events=list(events))
        return await self._transport.one(products.MadeWebhook, "POST", "/webhooks", body, key=key)

    async def get(self, webhook: str) -> products.WebhookView:
        """One of them."""
        return await self._transport.one(products.WebhookView, "GET", path_of("webhooks", webhook))

    def all(self) -> AsyncIterator[products.WebhookView]:
        """All of them."""
        return self._transport.pages(products.WebhookPage, "/webhooks", {"limit": 200})

    async def change(
        self,
        webhook: str,
        *,
        url: str | None = None,
        events: Sequence[str] | None = None,
        paused: bool | None = None,
    ) -> products.WebhookView:
        """Change what is not None."""
        wanted = _given(url=url, events=None if events is None else list(events), paused=paused)
        body = products.WebhookChange(**wanted)
        return await self._transport.one(products.WebhookView, "PATCH", path_of("webhooks", webhook), body)

    async def remove(self, webhook: str) -> None:
        """Tell it nothing more."""
        await self._transport.none("DELETE", path_of("webhooks", webhook))

    async def rotate_secret(self, webhook: str, *, overlap: int = 86_400) -> products.MadeWebhook:
        """A new secret; the old one signs too for ``overlap`` seconds."""
        body = products.SecretRotation(overlap=overlap)
        path = path_of("webhooks", webhook, "secret", "rotate")
        return await self._transport.one(products.MadeWebhook, "POST", path, body)

    async def ping(self, webhook: str) -> products.DeliveryView:
        """Have it told something."""
        return await self._transport.one(products.DeliveryView, "POST", path_of("webhooks", webhook, "ping"))

    def deliveries(self, webhook: str, *, state: str | None = None) -> AsyncIterator[products.DeliveryView]:
        """What it was told, the newest first."""
        path = path_of("webhooks", webhook, "deliveries")
        return self._transport.pages(products.DeliveryPage, path, {"limit": 200, "state": state})


def _retention(chat: str | None) -> str:
    return "/retention" if chat is None else path_of("chats", chat, "retention")
