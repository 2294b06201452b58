"""Members: who is in a chat, and as what."""

from __future__ import annotations

from typing import Any

from bridge.api.endpoints import Call, Endpoint
from bridge.api.models.members import (
    MemberPage,
    MemberQuery,
    MemberView,
    Mute,
    NewMember,
    NewOwner,
    Reason,
    RoleChange,
    Why,
)
from bridge.api.routes.base import Base
from bridge.domain.roles import Role
from bridge.store import chats as store
from bridge.store.chats import Chat, Member


class MemberRoutes:
    """Handlers."""

    def __init__(self, base: Base) -> None:
        self._base = base
        self._members = base.services.members

    def endpoints(self) -> list[Endpoint]:
        """The table."""
        read, write = "members.read", "members.write"
        member = "/chats/{chat}/members/{person}"
        return [
            Endpoint(
                "listMembers", "GET", "/chats/{chat}/members", "List members", self.page, "Members", read, MemberPage,
                query=MemberQuery,
            ),
            Endpoint(
                "addMember", "POST", "/chats/{chat}/members", "Invite somebody", self.add, "Members", write,
                MemberView, body=NewMember, status=201,
                description="Nothing happens to who is invited or in the chat already.",
            ),
            Endpoint("getMember", "GET", member, "Get a member", self.get, "Members", read, MemberView),
            Endpoint(
                "changeMember", "PATCH", member, "Promote or demote a member", self.change, "Members", write,
                MemberView, body=RoleChange,
            ),
            Endpoint("removeMember", "DELETE", member, "Remove a member", self.remove, "Members", write, query=Why),
            Endpoint(
                "muteMember", "PUT", f"{member}/mute", "Mute a member", self.mute, "Members", write, MemberView,
                body=Mute,
            ),
            Endpoint(
                "unmuteMember", "DELETE", f"{member}/mute", "Unmute a member", self.unmute, "Members", write,
                MemberView,
            ),
            Endpoint(
                "banMember", "PUT", "/chats/{chat}/bans/{person}", "Ban somebody", self.ban, "Members", write,
                body=Reason,
            ),
            Endpoint(
                "unbanMember", "DELETE", "/chats/{chat}/bans/{person}", "Lift a ban", self.unban, "Members", write,
            ),
            Endpoint(
                "transferChat", "PUT", "/chats/{chat}/owner", "Hand a chat over", self.transfer, "Members", write,
                body=NewOwner,
            ),
        ]  # fmt: skip

    async def page(self, call: Call[None, MemberQuery]) -> MemberPage:
        """A page of members."""
        chat, query = await self._base.chat(call), call.query
        found = await self._members.page(
            call.actor,
            chat,
            role=None if query.role is None else Role.of(query.role),
            query=query.query,
            membership=query.membership,
            after=query.after,
            limit=query.limit,
        )
        return MemberPage(items=await self._views(call, list(found.items), chat), next=found.next)

    async def add(self, call: Call[NewMember, None]) -> MemberView:
        """Invited."""
        chat = await self._base.chat(call)
        user_id = await self._base.person_of(call, call.body.person)
        await self._members.add(call.actor, chat, user_id)
        role = None if call.body.role is None else Role.of(call.body.role)
        if role is not None:
            await self._members.set_role(call.actor, chat, user_id, role)
        found = await self._base.database.read(lambda connection: store.member(connection, chat.room_id, user_id))
        # The homeserver's event may still be on its way.
        found = found or Member(chat.room_id, user_id, "invite", 0, "", call.now)
        shown = await self._view(call, found, chat)
        return shown if role is None else _with(shown, role)

    async def get(self, call: Call[None, None]) -> MemberView:
        """One member."""
        chat = await self._base.chat(call)
        return await self._shown(call, chat, await self._base.person(call))

    async def change(self, call: Call[RoleChange, None]) -> MemberView:
        """Another role."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        role = Role.of(call.body.role) or Role.READER
        await self._members.set_role(call.actor, chat, user_id, role)
        return _with(await self._shown(call, chat, user_id), role)

    async def remove(self, call: Call[None, Why]) -> None:
        """Gone."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._members.kick(call.actor, chat, user_id, call.query.reason.strip())

    async def mute(self, call: Call[Mute, None]) -> MemberView:
        """Silent for a while."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._members.mute(call.actor, chat, user_id, call.body.seconds)
        return await self._shown(call, chat, user_id)

    async def unmute(self, call: Call[None, None]) -> MemberView:
        """Not silent any more."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._members.unmute(call.actor, chat, user_id)
        return await self._shown(call, chat, user_id)

    async def ban(self, call: Call[Reason, None]) -> None:
        """Out, and not in again."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._members.ban(call.actor, chat, user_id, call.body.reason.strip())

    async def unban(self, call: Call[None, None]) -> None:
        """May come again."""
        chat, user_id = await self._base.chat(call), await self._base.person(call)
        await self._members.unban(call.actor, chat, user_id)

    async def transfer(self, call: Call[NewOwner, None]) -> None:
        """Somebody else's."""
        chat = await self._base.chat(call)
        await self._members.transfer(call.actor, chat, await self._base.person_of(call, call.body.person))

    async def _shown(self, call: Call[Any, Any], chat: Chat, user_id: str) -> MemberView:
        found, _ = await self._members.get(call.actor, chat, user_id)
        return await self._view(call, found, chat)

    async def _view(self, call: Call[Any, Any], member: Member, chat: Chat) -> MemberView:
        return (await self._views(call, [member], chat))[0]

    async def _views(self, call: Call[Any, Any], members: list[Member], chat: Chat) -> list[MemberView]:
        names = await self._base.people.names(call.product.name, {each.user_id for each in members})
        roles = await self._members.roles(chat, members)
        return [
            MemberView(
                user_id=each.user_id,
                external_id=names.get(each.user_id),
                display_name=each.display_name,
                role=roles[each.user_id].word,
                membership=each.membership,
                since=each.since,
                muted_until=each.muted_until,
            )
            for each in members
        ]


def _with(view: MemberView, role: Role) -> MemberView:
    """With the role that was given just now: the read model hears of it by an event, in a moment."""
    return view.model_copy(update={"role": role.word})
