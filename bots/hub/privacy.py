"""A person's privacy: who may write, add, call and see, whom they know, whom they block, who asks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from bots.framework import Context, Dialog, Option, Rest, UserID, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import Area
from bridge.domain.privacy import Audience, Settings, What

QUESTIONS: Final[Mapping[What, str]] = MappingProxyType(
    {
        What.WRITE: _("Who may write to you first"),
        What.ADD: _("Who may add you to groups and channels"),
        What.CALL: _("Who may call you"),
        What.PRESENCE: _("Who sees that you are here"),
        What.LAST_SEEN: _("Who sees when you were here last"),
        What.RECEIPTS: _("Who sees what you have read"),
    }
)
AUDIENCES: Final[Mapping[Audience, str]] = MappingProxyType(
    {
        Audience.EVERYBODY: _("everybody"),
        Audience.CONTACTS: _("my contacts"),
        Audience.NOBODY: _("nobody"),
    }
)
SHOWN: Final = 50


class Privacy(Area):
    """What people decide about themselves. All of it is between them and the hub."""

    @command("privacy", help=_("Decide who may write to you, add you, call you, and see when you are here"))
    async def privacy(self, ctx: Context) -> None:
        """Your settings, and how to change them."""
        if await self.aside(ctx):
            ctx.start(self.change_privacy)

    @dialog
    async def change_privacy(self, d: Dialog) -> None:
        """Which setting, and what it is to be."""
        now: Settings = await self.try_step(d, "settings", self._messenger.privacy.settings, d.person)
        options = [Option(what.value, d.t(QUESTIONS[what]), d.t(AUDIENCES[now.of(what)])) for what in What]
        options.append(Option("person", d.t("For one person in particular")))
        options.append(Option("blocked", d.t("Whom you block")))
        picked = (await d.choose(d.t("Your privacy. What do you want to change?"), options)).value
        if picked == "person":
            await self.for_one(d)
        elif picked == "blocked":
            await self._show_blocked(d)
        else:
            await self._set(d, What(picked))

    async def _set(self, d: Dialog, what: What) -> None:
        offered = [each for each in Audience if what is not What.RECEIPTS or each is not Audience.CONTACTS]
        question = d.t(QUESTIONS[what])
        audience = Audience(
            (await d.choose(f"{question}?", [Option(a.value, d.t(AUDIENCES[a])) for a in offered])).value
        )
        await self.try_step(d, "change", self._change, d.person, what.value, audience.value)
        await d.say(f"{question}: {d.t(AUDIENCES[audience])}.")

    async def _change(self, person: str, what: str, audience: str) -> None:
        await self._messenger.privacy.change(person, **{what: audience})

    async def for_one(self, d: Dialog) -> None:
        """What holds for one person whatever the settings say."""
        other = await self.whom(d)
        things = [what for what in What if what is not What.RECEIPTS]
        what = (await d.choose(d.t("What about?"), [Option(each.value, d.t(QUESTIONS[each])) for each in things])).value
        allow = await d.choose(
            d.t("What shall hold for {person}?", person=other),
            {d.t("Allowed"): "yes", d.t("Not allowed"): "no", d.t("As for everybody else"): "as others"},
        )
        wanted = {"yes": True, "no": False}.get(allow)
        await self.try_step(d, "except", self._messenger.privacy.set_exception, d.person, str(other), what, wanted)
        await d.say(d.t("Noted for {person}.", person=other))

    # Blocking

    @command("block", help=_("Block somebody: block @bob"))
    async def block(self, ctx: Context, whom: Rest = "") -> None:
        """They cannot invite or call you, and see nothing of you. They are not told."""
        if await self.aside(ctx):
            ctx.start(self.block_person, words.person(whom, ctx.env()) if whom.strip() else None)

    @dialog
    async def block_person(self, d: Dialog, person: UserID | None = None) -> None:
        """Whom, if it was not said."""
        person = person or await self.whom(d)
        await self.try_step(d, "block", self._messenger.privacy.block, d.person, str(person))
        await d.say(d.t("{person} is blocked, and is not told. “unblock” lifts it.", person=person))

    @command("unblock", help=_("Block somebody no longer: unblock @bob"))
    async def unblock(self, ctx: Context, whom: Rest = "") -> None:
        """They can reach you again, as your settings say."""
        if await self.aside(ctx):
            ctx.start(self.unblock_person, words.person(whom, ctx.env()) if whom.strip() else None)

    @dialog
    async def unblock_person(self, d: Dialog, person: UserID | None = None) -> None:
        """Whom, if it was not said."""
        person = person or await self.whom(d)
        await self.try_step(d, "unblock", self._messenger.privacy.unblock, d.person, str(person))
        await d.say(d.t("{person} is not blocked any more.", person=person))

    @command("blocked", help=_("Show whom you block"))
    async def blocked(self, ctx: Context) -> None:
        """Everybody whom you block."""
        if await self.aside(ctx):
            ctx.start(self.show_blocked)

    @dialog
    async def show_blocked(self, d: Dialog) -> None:
        """A list."""
        await self._show_blocked(d)

    async def _show_blocked(self, d: Dialog) -> None:
        found: list[str] = await self.try_step(d, "blocked", self._messenger.privacy.blocked, d.person)
        if not found:
            await d.end(d.t("You block nobody. “block @bob” does."))
        lines = "\n".join(f"• {each}" for each in found[:SHOWN])
        await d.say(f"{d.t('You block:')}\n{lines}")

    # Contacts

    @command("contacts", help=_("Show your contacts"))
    async def contacts(self, ctx: Context) -> None:
        """Whom you know: who has written with you in a direct chat, and whom you added."""
        if await self.aside(ctx):
            ctx.start(self.show_contacts)

    @dialog
    async def show_contacts(self, d: Dialog) -> None:
        """A list."""
        found: list[str] = await self.try_step(d, "contacts", self._messenger.privacy.contacts, d.person)
        if not found:
            await d.end(d.t("You have no contacts yet. Whoever writes with you in a direct chat becomes one."))
        lines = "\n".join(f"• {each}" for each in found[:SHOWN])
        await d.say(f"{d.t('Your contacts:')}\n{lines}")

    @command("contact add", help=_("Add somebody to your contacts: contact add @bob"))
    async def contact_add(self, ctx: Context, whom: Rest = "") -> None:
        """What your settings allow to contacts they may."""
        if await self.aside(ctx):
            person = words.person(whom, ctx.env())
            await self._messenger.privacy.add_contact(ctx.sender, person)
            ctx.say(ctx.t("{person} is one of your contacts.", person=person))

    @command("contact remove", help=_("Take somebody out of your contacts: contact remove @bob"))
    async def contact_remove(self, ctx: Context, whom: Rest = "") -> None:
        """They are as everybody else."""
        if await self.aside(ctx):
            person = words.person(whom, ctx.env())
            await self._messenger.privacy.remove_contact(ctx.sender, person)
            ctx.say(ctx.t("{person} is none of your contacts.", person=person))

    # Requests

    @command("requests", help=_("Show who would like to write to you or add you"), aliases=("message requests",))
    async def requests(self, ctx: Context) -> None:
        """Accept or decline each."""
        if await self.aside(ctx):
            ctx.start(self.answer_requests)

    @dialog
    async def answer_requests(self, d: Dialog) -> None:
        """One after the other."""
        found: list[Any] = await self.try_step(d, "requests", self._requests, d.person)
        if not found:
            await d.end(d.t("Nobody waits for an answer of yours."))
        for request, person, adds, name in found:
            await self.answer_request(d, request, person, adds, name)

    async def _requests(self, person: str) -> list[tuple[str, str, bool, str]]:
        found = await self._messenger.privacy.requests(person)
        return [(each.id, each.other, each.what is What.ADD, each.name) for each in found[:SHOWN]]

    @dialog
    async def asked(self, d: Dialog, request: str, person: str, adds: bool, name: str) -> None:
        """Somebody has just asked."""
        await self.answer_request(d, request, person, adds, name)

    async def answer_request(self, d: Dialog, request: str, person: str, adds: bool, name: str) -> None:
        """Accept, decline, or block."""
        question = d.t("{person} would like to write to you.", person=person)
        if adds and name:
            question = d.t("{person} would like to add you to “{chat}”.", person=person, chat=words.one_line(name))
        elif adds:
            question = d.t("{person} would like to add you to a chat.", person=person)
        answer = await d.choose(
            question, {d.t("Accept"): "accept", d.t("Decline"): "decline", d.t("Decline and block"): "block"}
        )
        await self.try_step(d, "answer", self._messenger.privacy.answer_request, d.person, request, answer == "accept")
        if answer == "block":
            await self.try_step(d, "block", self._messenger.privacy.block, d.person, person)
            await d.say(d.t("{person} is blocked, and is not told. “unblock” lifts it.", person=person))
        elif answer == "accept":
            await d.say(d.t("Accepted: the invitation of {person} follows.", person=person))
        else:
            await d.say(d.t("Declined. {person} is not told.", person=person))
