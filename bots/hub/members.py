"""Members: looked at, added, promoted, muted, removed, and the chat handed over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from bots.framework import Context, Dialog, InvalidValue, Rest, UserID, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import SHARED, Area, lengths
from bridge.actor import Actor
from bridge.domain.roles import Role
from bridge.store.chats import Chat

PAGE: Final = 20
FOREVER: Final = 0
"""As a length of a mute."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A part of the list of members, as a dialog records it."""

    lines: tuple[tuple[str, str, str, int | None], ...]
    """Name, user id, role, muted until."""
    next: str | None
    count: int


class Members(Area):
    """Who is in a chat, and what they may do."""

    # Looking

    @command("members", help=_("Show who is in a chat, or look for somebody: members bob"))
    async def members(self, ctx: Context, who: Rest = "") -> None:
        """Who is in the chat, with their roles; with a word only those in whose names it is."""
        await self.begin(ctx, self.show_members, who)

    @dialog
    async def show_members(self, d: Dialog, chat: str, query: str = "") -> None:
        """Page after page."""
        found = await self.which(d, chat)
        after: str | None = None
        while True:
            page: Shown = await self.on(d, "members", self._page, found, query, after)
            if not page.lines:
                await d.end(d.t("Nobody is found."))
            lines = "\n".join(f"• {_line(d, each)}" for each in page.lines)
            head = d.n("“{chat}” has {count} member:", "“{chat}” has {count} members:", page.count, chat=found.title)
            text = lines if after else f"{head}\n{lines}"
            if page.next is None:
                await d.end(text)
            await d.say(text)
            if not await d.confirm(d.t("Show more?")):
                return
            after = page.next

    async def _page(self, actor: Actor, chat: Chat, query: str, after: str | None) -> Shown:
        service = self._messenger.members
        page = await service.page(actor, chat, query=query, after=after, limit=PAGE)
        roles = await service.roles(chat, list(page.items))
        lines = tuple(
            (each.display_name, each.user_id, roles[each.user_id].word, each.muted_until) for each in page.items
        )
        return Shown(lines, page.next, await service.count(chat))

    # Adding

    @command("add", help=_("Invite people into a chat: add @bob @carol"))
    async def add(self, ctx: Context, whom: Rest = "") -> None:
        """Invite people: “add @bob @carol”. For many, “invite link” is easier."""
        chat, rest = await self.named(ctx, whom)
        ctx.start(self.add_members, chat, words.people(rest, ctx.env()))

    @dialog
    async def add_members(self, d: Dialog, chat: str, people: Sequence[UserID] = ()) -> None:
        """Invite each, and say of each whether it worked."""
        found = await self.which(d, chat, SHARED)
        if not people:
            people = await d.ask(
                d.t("Whom shall I invite? Write their ids, such as @bob:example.org."), parse=words.people
            )
        for each in people:
            await self.on(d, "add", self._messenger.members.add, found, str(each))
        await d.say(d.t("Invited to “{chat}”: {people}.", chat=found.title, people=[str(each) for each in people]))

    # Roles

    @command("promote", help=_("Let somebody do more: promote @bob to moderator"))
    async def promote(self, ctx: Context, whom_to_what: Rest = "") -> None:
        """One role up, or the one you name: reader, writer, moderator, admin. “hand over” makes another owner."""
        await self._change_role(ctx, whom_to_what, 1)

    @command("demote", help=_("Let somebody do less: demote @bob"))
    async def demote(self, ctx: Context, whom_to_what: Rest = "") -> None:
        """One role down, or the one you name."""
        await self._change_role(ctx, whom_to_what, -1)

    async def _change_role(self, ctx: Context, text: str, step: int) -> None:
        chat, rest = await self.named(ctx, text)
        person, rest = words.person_first(rest, ctx.env())
        role = words.role(rest, ctx.env()) if rest else None
        if rest and role is None:
            if person is None:
                raise InvalidValue("hub.nobody", words.NOBODY, clear=True)
            raise InvalidValue("hub.no_role", _("Roles are reader, writer, moderator and admin."), clear=True)
        ctx.start(self.change_role, chat, person, step, "" if role is None else role.word)

    @dialog
    async def change_role(
        self, d: Dialog, chat: str, person: UserID | None = None, step: int = 1, role: str = ""
    ) -> None:
        """Up or down, or to the role that is named."""
        found = await self.which(d, chat)
        person = person or await self.whom(d)
        now: str = await self.on(d, "role", self._role, found, str(person))
        wanted = Role.of(role) if role else _next(Role.of(now) or Role.WRITER, step)
        if wanted is None or wanted is Role.OWNER:
            await d.end(
                d.t(
                    "{person} is {role} already. “hand over” makes somebody the owner.",
                    person=person,
                    role=_said(d, now),
                )
            )
        await self.on(d, "set role", self._messenger.members.set_role, found, str(person), wanted)
        await d.say(
            d.t("In “{chat}”, {person} is now: {role}.", chat=found.title, person=person, role=_said(d, wanted.word))
        )

    async def _role(self, actor: Actor, chat: Chat, user_id: str) -> str:
        _member, role = await self._messenger.members.get(actor, chat, user_id)
        return role.word

    @command("hand over", help=_("Hand a chat over to somebody: hand over @bob"), aliases=("transfer",))
    async def hand_over(self, ctx: Context, whom: Rest = "") -> None:
        """They become its owner, and you stay as an admin."""
        await self._about(ctx, self.hand_over_chat, whom)

    @dialog
    async def hand_over_chat(self, d: Dialog, chat: str, person: UserID | None = None) -> None:
        """Another owner."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        question = d.t("Hand “{chat}” over to {person}? You stay as an admin.", chat=found.title, person=person)
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.on(d, "transfer", self._messenger.members.transfer, found, str(person))
        await d.say(d.t("“{chat}” belongs to {person} now.", chat=found.title, person=person))

    # Mutes

    @command("mute", help=_("Let somebody not write for a time: mute @bob 1 hour"))
    async def mute(self, ctx: Context, whom_how_long: Rest = "") -> None:
        """They read and do not write: “mute @bob 1 hour”. Without a time I ask for it."""
        chat, rest = await self.named(ctx, whom_how_long)
        person, rest = words.person_first(rest, ctx.env())
        if rest and person is None:
            raise InvalidValue("hub.nobody", words.NOBODY, clear=True)
        ctx.start(self.mute_member, chat, person, words.seconds_or_forever(rest, ctx.env()) if rest else None)

    @dialog
    async def mute_member(self, d: Dialog, chat: str, person: UserID | None = None, seconds: int | None = None) -> None:
        """For a time, or until it is lifted."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        if seconds is None:
            seconds = await d.choose(
                d.t("For how long?"),
                {**lengths(d, 600, 3_600, 86_400, 604_800), d.t("Until I lift it"): FOREVER},
            )
        await self.on(d, "mute", self._messenger.members.mute, found, str(person), seconds or None)
        if seconds:
            until = datetime.fromtimestamp((await d.now()).timestamp() + seconds, UTC)
            await d.say(
                d.t("{person} cannot write in “{chat}” until {until}.", person=person, chat=found.title, until=until)
            )
        else:
            await d.say(d.t("{person} cannot write in “{chat}” until you lift it.", person=person, chat=found.title))

    @command("unmute", help=_("Let somebody write again: unmute @bob"))
    async def unmute(self, ctx: Context, whom: Rest = "") -> None:
        """They write again, at once."""
        await self._about(ctx, self.unmute_member, whom)

    @dialog
    async def unmute_member(self, d: Dialog, chat: str, person: UserID | None = None) -> None:
        """They write again."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        await self.on(d, "unmute", self._messenger.members.unmute, found, str(person))
        await d.say(d.t("{person} can write in “{chat}” again.", person=person, chat=found.title))

    @command("slow mode", help=_("Let people wait between two messages: slow mode 30 s, slow mode off"))
    async def slow_mode(self, ctx: Context, how_long: Rest = "") -> None:
        """Members write once in that time; moderators and above whenever they like."""
        chat, rest = await self.named(ctx, how_long)
        seconds = None if not rest else words.seconds_or_off(rest, ctx.env()) or 0
        ctx.start(self.set_slow_mode, chat, seconds)

    @dialog
    async def set_slow_mode(self, d: Dialog, chat: str, seconds: int | None = None) -> None:
        """On or off."""
        found = await self.which(d, chat, SHARED)
        if seconds is None:
            seconds = await d.choose(
                d.t("How long shall members wait between two messages?"),
                {**lengths(d, 10, 60, 600, 3_600), d.t("Not at all"): 0},
            )
        await self.on(d, "slow mode", self._messenger.members.set_slow_mode, found, seconds)
        if seconds:
            wait = words.length(seconds)
            await d.say(d.t("In “{chat}” members wait {wait} between two messages.", chat=found.title, wait=wait))
        else:
            await d.say(d.t("In “{chat}” members write whenever they like.", chat=found.title))

    # Removing

    @command("kick", help=_("Remove somebody from a chat: kick @bob"), aliases=("remove",))
    async def kick(self, ctx: Context, whom: Rest = "") -> None:
        """They are out, and may come back when they are let in."""
        await self._about(ctx, self.kick_member, whom)

    @dialog
    async def kick_member(self, d: Dialog, chat: str, person: UserID | None = None) -> None:
        """Out."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        if not await d.confirm(d.t("Remove {person} from “{chat}”?", person=person, chat=found.title)):
            await d.end(d.t("Everything stays as it is."))
        await self.on(d, "kick", self._messenger.members.kick, found, str(person))
        await d.say(d.t("{person} is out of “{chat}”.", person=person, chat=found.title))

    @command("ban", help=_("Remove somebody for good: ban @bob"))
    async def ban(self, ctx: Context, whom: Rest = "") -> None:
        """They are out, and cannot come back until you “unban” them."""
        await self._about(ctx, self.ban_member, whom)

    @dialog
    async def ban_member(self, d: Dialog, chat: str, person: UserID | None = None) -> None:
        """Out for good."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        if not await d.confirm(d.t("Ban {person} from “{chat}”?", person=person, chat=found.title)):
            await d.end(d.t("Everything stays as it is."))
        await self.on(d, "ban", self._messenger.members.ban, found, str(person))
        await d.say(
            d.t("{person} is banned from “{chat}”. “unban” lets them come back.", person=person, chat=found.title)
        )

    @command("unban", help=_("Let somebody come back: unban @bob"))
    async def unban(self, ctx: Context, whom: Rest = "") -> None:
        """They may come back, if they are let in."""
        await self._about(ctx, self.unban_member, whom)

    @dialog
    async def unban_member(self, d: Dialog, chat: str, person: UserID | None = None) -> None:
        """They may come back."""
        found = await self.which(d, chat, SHARED)
        person = person or await self.whom(d)
        await self.on(d, "unban", self._messenger.members.unban, found, str(person))
        await d.say(d.t("{person} may come to “{chat}” again.", person=person, chat=found.title))

    # Whom

    async def _about(self, ctx: Context, dialog: Callable[..., Any], text: str) -> None:
        """Begin a dialog about somebody who is named in a text, or is to be asked for."""
        chat, rest = await self.named(ctx, text)
        ctx.start(dialog, chat, words.person(rest, ctx.env()) if rest else None)


def _line(d: Dialog, member: tuple[str, str, str, int | None]) -> str:
    name, user_id, role, muted_until = member
    shown = f"{words.one_line(name, 60)} ({user_id})" if name else user_id
    line = f"{shown} – {_said(d, role)}"
    if muted_until is None:
        return line
    if muted_until == 0:
        return f"{line}, {d.t('cannot write')}"
    until = datetime.fromtimestamp(muted_until / 1000, UTC)
    return f"{line}, {d.t('cannot write until {until}', until=until)}"


def _said(d: Dialog, role: str) -> str:
    return d.t(words.ROLES.get(role, role))


def _next(role: Role, step: int) -> Role | None:
    """The role one up or down, None beyond the ends."""
    value = role.value + step
    return Role(value) if Role.READER <= value <= Role.OWNER else None
