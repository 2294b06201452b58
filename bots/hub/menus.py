"""Menus: everything that there is, to choose from, for who does not like commands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import PEOPLES, SHARED, Chosen, at_least
from bots.hub.chats import ChatAreas
from bots.hub.holds import Holds
from bots.hub.services import Services
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role

CHANNELS: Final = frozenset({Kind.CHANNEL})
DONE: Final = "done"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a menu: what people read, and the dialog ``(d, chat)`` that it begins."""

    dialog: str
    msgid: str
    least: Role = Role.READER
    kinds: frozenset[Kind] = PEOPLES


OF_A_CHAT: Final = (
    Entry("show_members", _("Members"), Role.READER, SHARED),
    Entry("invite_link", _("Make an invite link"), Role.ADMIN, SHARED),
    Entry("add_members", _("Invite people"), Role.WRITER, SHARED),
    Entry("show_links", _("Invite links that work"), Role.ADMIN, SHARED),
    Entry("answer_joining", _("Requests to join"), Role.MODERATOR, SHARED),
    Entry("set_timer", _("Have messages disappear"), Role.ADMIN),
    Entry("change_role", _("Give somebody another role"), Role.ADMIN, SHARED),
    Entry("mute_member", _("Let somebody not write for a time"), Role.MODERATOR, SHARED),
    Entry("kick_member", _("Remove somebody"), Role.MODERATOR, SHARED),
    Entry("ban_member", _("Ban somebody"), Role.MODERATOR, SHARED),
    Entry("set_slow_mode", _("Slow mode"), Role.ADMIN, SHARED),
    Entry("rename_chat", _("Another name"), Role.ADMIN),
    Entry("describe_chat", _("Another description"), Role.ADMIN),
    Entry("picture_chat", _("Another picture"), Role.ADMIN),
    Entry("link_discussion", _("Discussion group"), Role.ADMIN, CHANNELS),
    Entry("set_retention", _("How long messages are kept"), Role.OWNER),
    Entry("hand_over_chat", _("Hand it over"), Role.OWNER, SHARED),
    Entry("come_in", _("Have me come to this chat"), Role.WRITER, SHARED),
    Entry("archive_chat", _("Archive it"), Role.ADMIN, SHARED),
    Entry("leave_chat", _("Leave it")),
    Entry("delete_chat", _("Delete it for everybody"), Role.OWNER),
)
OF_ALL: Final = (
    Entry("choose_chat", _("My chats")),
    Entry("menu_group", _("A new group")),
    Entry("menu_channel", _("A new channel")),
    Entry("make_direct", _("A new direct chat")),
    Entry("join_by_code", _("Join by a code")),
    Entry("menu_services", _("Services")),
    Entry("change_privacy", _("My privacy")),
    Entry("answer_requests", _("Who would like to write to me")),
    Entry("show_devices", _("My devices")),
    Entry("appeal_decision", _("Decisions about me")),
    Entry("menu_data", _("My data")),
)
OF_MODERATORS: Final = (
    Entry("decide_reports", _("Reports")),
    Entry("decide_appeals", _("Appeals")),
    Entry("manage_policies", _("Lists of who is not wanted")),
)
OF_OPERATORS: Final = (Entry("manage_holds", _("Legal holds")),)


class Menus(Services, ChatAreas, Holds):
    """The menu of everything, and the menu of each chat."""

    @command("menu", help=_("Show everything that I can do, to choose from"), aliases=("start",))
    async def menu(self, ctx: Context) -> None:
        """A list of everything; in a chat, of what you may do there."""
        here = self.here(ctx.room_id)
        if here is not None:
            ctx.start(self.manage, here.id)
        elif await self.aside(ctx):
            ctx.start(self.main_menu)

    @dialog
    async def main_menu(self, d: Dialog) -> None:
        """Everything."""
        entries: list[str] = await d.do("entries", self._entries)
        offered = [each for each in (*OF_ALL, *OF_MODERATORS, *OF_OPERATORS) if each.dialog in entries]
        options = [Option(entry.dialog, d.t(entry.msgid)) for entry in offered]
        picked = (await d.choose(d.t("What would you like to do?"), options, page_size=len(options))).value
        arguments: dict[str, tuple[object, ...]] = {"make_direct": (None,), "join_by_code": ("", "")}
        await getattr(self, picked)(d, *arguments.get(picked, ()))

    async def _entries(self, ctx: Context) -> list[str]:
        """What the person may begin: moderators and operators have entries of their own."""
        entries = list(OF_ALL)
        if self._messenger.moderation.is_moderator(ctx.sender):
            entries += OF_MODERATORS
        if await self.is_operator(ctx):
            entries += OF_OPERATORS
        return [each.dialog for each in entries]

    @command("chat", help=_("Manage a chat: chat 2"), aliases=("manage",))
    async def chat(self, ctx: Context, which: Rest = "") -> None:
        """The menu of a chat, by its number in “chats”, its address or its name."""
        which = which.strip()
        await self.begin(ctx, self.manage, f"#{which}" if which and not which.startswith("#") else which)

    @dialog
    async def manage(self, d: Dialog, chat: str, rest: str = "") -> None:
        """What the person may do in a chat."""
        found: Chosen = await self.which(d, chat, role=True)
        entries = [each for each in OF_A_CHAT if found.kind in each.kinds and at_least(found.role, each.least)]
        if not found.role:
            link = words.room_link(found.room_id)
            await d.end(f"{d.t('You are invited to “{chat}”. Accept first:', chat=found.title)} {link}")
        kind, role = d.t(words.KINDS[found.kind]), d.t(words.ROLES[found.role])
        question = d.t(
            "“{chat}”: {kind}. You are {role} there. What would you like to do?", chat=found.title, kind=kind, role=role
        )
        options = [*(Option(entry.dialog, d.t(entry.msgid)) for entry in entries), Option(DONE, d.t("Nothing"))]
        picked = (await d.choose(question, options, page_size=20)).value
        if picked == DONE:
            await d.end(d.t("Everything stays as it is."))
        await getattr(self, picked)(d, found.id)

    @dialog
    async def choose_chat(self, d: Dialog) -> None:
        """One of the person's chats, and its menu."""
        await self.manage(d, "")

    @dialog
    async def menu_group(self, d: Dialog) -> None:
        """A new group."""
        await self.make(d, Kind.GROUP, "", ())

    @dialog
    async def menu_channel(self, d: Dialog) -> None:
        """A new channel."""
        await self.make(d, Kind.CHANNEL, "", ())

    @dialog
    async def menu_services(self, d: Dialog) -> None:
        """The services, to be opened by number."""
        await d.do("services", self._show_services)

    async def _show_services(self, ctx: Context) -> None:
        await self.services(ctx)

    @dialog
    async def menu_data(self, d: Dialog) -> None:
        """What is held about the person, and having it erased."""
        options = [Option("export", d.t("Export my data")), Option("erase", d.t("Erase everything about me"))]
        picked = (await d.choose(d.t("Your data."), options)).value
        await getattr(self, "export_data" if picked == "export" else "erase_data")(d)
