"""Invite links and requests to join."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bots.framework import Context, Dialog, InvalidValue, Option, ParseEnv, Rest, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import SHARED, Area, Chosen, lengths
from bridge.actor import Actor
from bridge.domain.links import Link
from bridge.store.chats import Chat

DAY_S: Final = 86_400
NONE: Final = "none"
MOST: Final = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """A link that somebody wants: how long it works (seconds, 0 for ever), for how many (0: any), with approval."""

    expires_in: int = 7 * DAY_S
    uses: int = 0
    approval: bool = False


@dataclass(frozen=True, slots=True)
class Shown:
    """A link, as a dialog records it."""

    token: str
    url: str
    title: str = ""
    expires_at: int | None = None
    uses: int | None = None
    used: int = 0
    approval: bool = False


class Links(Area):
    """Lets people in."""

    @command("invite link", help=_("Make a link that lets people in: invite link 7 days 10 uses approval"))
    async def invite_link_command(self, ctx: Context, how: Rest = "") -> None:
        """How long it works, for how many, and whether you approve each: “invite link 7 days 10 uses approval”.
        Without a word I ask; “revoke link” ends one."""
        chat, rest = await self.named(ctx, how)
        ctx.start(self.invite_link, chat, wanted(rest, ctx.env()) if rest else None)

    @dialog
    async def invite_link(self, d: Dialog, chat: str, want: Wanted | None = None) -> None:
        """Ask how, unless it was said; then the link, the code, and a picture to scan."""
        found = await self.which(d, chat, SHARED)
        want = want or await self._ask_link(d)
        link: Shown = await self.on(
            d,
            "link",
            self._create_link,
            found,
            want.expires_in or None,
            want.uses or None,
            want.approval,
        )
        lines = [d.t("Whoever has this link can come to “{chat}”:", chat=found.title)]
        if want.approval:
            lines = [d.t("Whoever has this link can ask to come to “{chat}”:", chat=found.title)]
        lines += [link.url, d.t("Or they write to me: join {code}", code=link.token), _limits(d, link)]
        await d.say("\n".join(lines))
        await d.do("qr", self._send_code, link.token, found.title)

    async def _create_link(
        self, actor: Actor, chat: Chat, expires_in: int | None, uses: int | None, approval: bool
    ) -> Shown:
        made = await self._messenger.links.create(actor, chat, expires_in=expires_in, uses=uses, approval=approval)
        return self._shown(made)

    def _shown(self, link: Link) -> Shown:
        return Shown(
            link.token,
            self._messenger.links.url(link),
            link.title,
            link.expires_at,
            link.uses,
            link.used,
            link.approval,
        )

    async def _send_code(self, ctx: Context, token: str, title: str) -> None:
        """The link as a QR code."""
        link = await self._messenger.links.by_token(token)
        if link is not None:
            await ctx.send_image(self._messenger.links.qr_png(link), "invite.png", caption=title)

    @staticmethod
    async def _ask_link(d: Dialog) -> Wanted:
        expires = await d.choose(
            d.t("How long shall the link work?"),
            {**lengths(d, DAY_S, 7 * DAY_S, 30 * DAY_S), d.t("Until I end it"): 0},
        )
        uses = await d.choose(d.t("How many people may use it?"), {"1": 1, "10": 10, "100": 100, d.t("Any number"): 0})
        approval = await d.confirm(d.t("Shall somebody approve each of them?"))
        return Wanted(expires, uses, approval)

    # Those there are

    @command("links", help=_("Show the invite links that work, and end one"), aliases=("revoke link", "invite links"))
    async def links(self, ctx: Context, which: Rest = "") -> None:
        """Links that still let people in; choose one to end it."""
        await self.begin(ctx, self.show_links, which)

    @dialog
    async def show_links(self, d: Dialog, chat: str, rest: str = "") -> None:
        """A list to choose from."""
        found = await self.which(d, chat, SHARED)
        links: list[Shown] = await self.on(d, "links", self._list, found)
        if not links:
            await d.end(d.t("“{chat}” has no invite link. “invite link” makes one.", chat=found.title))
        options = [Option(f"link-{number}", each.url[-90:], _limits(d, each)) for number, each in enumerate(links)]
        options.append(Option(NONE, d.t("None of them")))
        picked = (await d.choose(d.t("Links to “{chat}”. Which one shall end?", chat=found.title), options)).value
        if picked == NONE:
            await d.end(d.t("Everything stays as it is."))
        link = links[int(picked.removeprefix("link-"))]
        await self.on(d, "revoke", self._messenger.links.revoke, found, link.token)
        await d.say(d.t("This link lets nobody in any more: {link}", link=link.url))

    async def _list(self, actor: Actor, chat: Chat) -> list[Shown]:
        return [self._shown(each) for each in (await self._messenger.links.list(actor, chat))[:MOST]]

    # Coming in

    @command("join", help=_("Join a chat by the code of an invite link: join CODE"))
    async def join(self, ctx: Context, code: Rest = "") -> None:
        """The code stands at the end of an invite link; the whole link works too."""
        if await self.aside(ctx):
            ctx.start(self.join_by_code, "", code.strip())

    @dialog
    async def join_by_code(self, d: Dialog, chat: str = "", code: str = "") -> None:
        """Ask for the code, unless it was said, and come in."""
        code = code or await d.ask(d.t("What is the code of the invite link?"))
        joined, title, room_id = await self.try_step(d, "redeem", self._redeem, d.person, code)
        if not joined:
            await d.end(d.t("I have asked for you. You hear of it when somebody has decided."))
        said = d.t("You are invited to “{chat}”. Accept, or go there:", chat=title)
        await d.say(f"{said} {words.room_link(room_id)}")

    async def _redeem(self, person: str, token: str) -> tuple[bool, str, str]:
        outcome = await self._messenger.links.redeem(person, self._messenger.links.codes.find(token) or token[:100])
        chat = outcome.chat
        titles = await self.titles(person, [chat])
        return outcome.joined, titles[chat.room_id], chat.room_id

    # Requests

    @command("join requests", help=_("Show who would like to join a chat, and let them in or not"))
    async def join_requests(self, ctx: Context, which: Rest = "") -> None:
        """Who waits: let each in, or decline."""
        await self.begin(ctx, self.answer_joining, which)

    @dialog
    async def answer_joining(self, d: Dialog, chat: str, rest: str = "") -> None:
        """One after the other."""
        found = await self.which(d, chat, SHARED)
        waiting: list[tuple[str, str]] = await self.on(d, "requests", self._join_requests, found)
        if not waiting:
            await d.end(d.t("Nobody waits to come to “{chat}”.", chat=found.title))
        for person, reason in waiting:
            if not await self._answer(d, found, person, reason):
                break
        await d.say(d.t("That is all."))

    async def _answer(self, d: Dialog, found: Chosen, person: str, reason: str) -> bool:
        question = d.t("{person} would like to come to “{chat}”.", person=person, chat=found.title)
        if reason:
            question += "\n" + d.t("They write: {reason}", reason=reason)
        options = {d.t("Let them in"): "yes", d.t("Decline"): "no", d.t("Later"): "later"}
        answer = await d.choose(question, options)
        if answer == "later":
            return False
        await self.on(d, "answer", self._messenger.links.answer, found, person, answer == "yes")
        return True

    async def _join_requests(self, actor: Actor, chat: Chat) -> list[tuple[str, str]]:
        found = await self._messenger.links.requests(actor, chat)
        return [(each.user_id, words.one_line(each.reason or "", 200)) for each in found[:MOST]]


def _limits(d: Dialog, link: Shown) -> str:
    """How long it works, and for how many."""
    parts = []
    if link.expires_at is not None:
        parts.append(d.t("works until {time}", time=datetime.fromtimestamp(link.expires_at / 1000, UTC)))
    else:
        parts.append(d.t("works until you end it"))
    if link.uses is not None:
        parts.append(d.n("{count} person may use it", "{count} people may use it", max(0, link.uses - link.used)))
    if link.approval:
        parts.append(d.t("with approval"))
    return ", ".join(parts)


def wanted(text: str, env: ParseEnv) -> Wanted:
    """“7 days 10 uses approval”, in any order; “forever” for one that does not end.

    Raises:
        InvalidValue: there is a word that says nothing of that.
    """
    found, rest = Wanted(), text.replace(",", " ").strip()
    expires, uses, approval = found.expires_in, found.uses, found.approval
    plain = env.vocabulary(words.PLAIN)
    while rest:
        first, __, behind = rest.partition(" ")
        second, __, after = behind.strip().partition(" ")
        name = plain.get(first.lower())
        if first.isdecimal() and plain.get(second.lower()) == "uses":
            uses, rest = int(first[:6]), after.strip()
        elif name == "approval":
            approval, rest = True, behind.strip()
        elif name == "forever":
            expires, rest = 0, behind.strip()
        elif name in {"with", "and", "for"}:
            rest = behind.strip()
        else:
            length, rest = words.leading_seconds(rest, env)
            if length is None:
                raise InvalidValue(
                    "hub.link", _("Say how long it works and for how many: invite link 7 days 10 uses."), clear=True
                )
            expires = length
    return Wanted(expires, uses, approval)
