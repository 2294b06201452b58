"""Legal holds, for operators: nothing of a chat is removed until the hold is lifted.

Rialto acts by itself here, as for an operator on the command line; who it was stands with the hold and in the log.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from bots.framework import Context, Dialog, InvalidValue, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.framework.permissions import Role
from bots.hub import words
from bots.hub.area import Area
from bridge.actor import SYSTEM
from bridge.errors import NotFound
from bridge.store.chats import Chat

NOTHING: Final = "nothing"


@dataclass(frozen=True, slots=True)
class Found:
    """A chat, as a dialog records it."""

    room_id: str
    title: str


@dataclass(frozen=True, slots=True)
class Held:
    """A hold, as a dialog records it."""

    room_id: str
    title: str
    reason: str
    by: str
    since: int


class Holds(Area):
    """What must be kept."""

    @command("holds", help=_("Show the chats that are under a legal hold, as an operator"), permission=Role.OPERATOR)
    async def holds(self, ctx: Context) -> None:
        """Each with its reason, since when, and who has said so; and what can be done about them."""
        if await self.aside(ctx):
            ctx.start(self.manage_holds)

    @command(
        "hold",
        help=_("Have nothing of a chat removed, as an operator: hold !abc:example.org why"),
        permission=Role.OPERATOR,
    )
    async def hold(self, ctx: Context, which_and_why: Rest = "") -> None:
        """Not by timers, retention, people or their rights. Say which chat (its address, room id or link) and why."""
        if await self.aside(ctx):
            room_id, reason = await self._any_chat(ctx, which_and_why)
            ctx.start(self.hold_chat, room_id, reason)

    @command("unhold", help=_("Lift a legal hold, as an operator: unhold !abc:example.org"), permission=Role.OPERATOR)
    async def unhold(self, ctx: Context, which: Rest = "") -> None:
        """What should have been removed meanwhile is removed then."""
        if await self.aside(ctx):
            room_id, _rest = await self._any_chat(ctx, which)
            ctx.start(self.lift_hold, room_id)

    @dialog
    async def manage_holds(self, d: Dialog) -> None:
        """All holds, and what to do about them."""
        await self.operators_only(d)
        held: list[Held] = await d.look("holds", self._held)
        lines = [d.t("No chat is under a legal hold.")]
        if held:
            lines = [d.n("{count} chat is under a legal hold:", "{count} chats are under a legal hold:", len(held))]
            lines += [f"• {_line(d, each)}" for each in held]
        await d.say("\n".join(lines))
        options = [Option("hold", d.t("Hold a chat"))]
        if held:
            options.append(Option("lift", d.t("Lift a hold")))
        options.append(Option(NOTHING, d.t("Nothing")))
        picked = (await d.choose(d.t("What would you like to do?"), options)).value
        if picked == NOTHING:
            await d.end(d.t("Everything stays as it is."))
        await (self.hold_chat(d) if picked == "hold" else self.lift_hold(d))

    @dialog
    async def hold_chat(self, d: Dialog, room_id: str = "", reason: str = "") -> None:
        """Which chat, and why, unless it was said."""
        await self.operators_only(d)
        if not room_id:
            room_id = await d.ask(d.t("Which chat? Write its address or room id, or a link to it."))
        chat: Found = await self.try_step(d, "chat", self._found_chat, room_id)
        if not reason:
            reason = await d.ask(d.t("Why is it held? It is kept with the hold."))
        question = d.t(
            "Nothing in “{chat}” can be removed by anybody then, until the hold is lifted. Hold it?",
            chat=chat.title,
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.operators_only(d)  # when it is done, not when it was begun
        await self.try_step(d, "hold", self._hold, d.person, chat.room_id, reason)
        await d.say(d.t("“{chat}” is held.", chat=chat.title))

    @dialog
    async def lift_hold(self, d: Dialog, room_id: str = "") -> None:
        """Which one, unless it was said."""
        await self.operators_only(d)
        if not room_id:
            held: list[Held] = await d.look("held", self._held)
            if not held:
                await d.end(d.t("No chat is under a legal hold."))
            options = [Option(each.room_id, each.title, each.reason) for each in held]
            options.append(Option(NOTHING, d.t("None of them")))
            room_id = (await d.choose(d.t("Which hold shall be lifted?"), options)).value
            if room_id == NOTHING:
                await d.end(d.t("Everything stays as it is."))
        chat: Found = await self.try_step(d, "chat", self._found_chat, room_id)
        question = d.t(
            "What timers and retention should have removed from “{chat}” meanwhile is removed then. Lift the hold?",
            chat=chat.title,
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.operators_only(d)
        await self.try_step(d, "lift", self._lift, d.person, chat.room_id)
        await d.say(d.t("“{chat}” is held no more.", chat=chat.title))

    # What is done

    async def operators_only(self, d: Dialog) -> None:
        """End a dialog of somebody who is no operator: it can be begun from a menu too."""
        if not await d.do("operator", self.is_operator):
            await d.end(d.t("Only operators do this."))

    @staticmethod
    async def is_operator(ctx: Context) -> bool:
        """Whether the person at hand is one."""
        return ctx.services.permissions.allows(ctx.sender, Role.OPERATOR, default=Role.OPERATOR)

    async def _held(self) -> list[Held]:
        return [
            Held(each.room_id, self._title_of(each.room_id), words.one_line(each.reason, 120), each.actor, each.since)
            for each in await self._messenger.retention.holds(SYSTEM)
        ]

    async def _hold(self, person: str, room_id: str, reason: str) -> None:
        await self._messenger.retention.hold(SYSTEM, self._alive(room_id), reason, by=person)

    async def _lift(self, person: str, room_id: str) -> None:
        await self._messenger.retention.release(SYSTEM, self._alive(room_id), by=person)

    # Which chat: any that there is, whether the operator is in it or not

    async def _any_chat(self, ctx: Context, text: str) -> tuple[str, str]:
        """The room of the chat that a text names first, "" for none, and the rest."""
        word, _space, rest = text.strip().partition(" ")
        if not word:
            return "", ""
        found = self._any_named(word)
        if found is None and word.startswith("#"):
            found = await self.referred(ctx, word[1:])
        if found is None:
            raise InvalidValue(
                "hub.no_such_chat",
                _("There is no chat {given}. Write its address or room id, or a link to it."),
                clear=True,
                given=words.one_line(word, 60),
            )
        return found.room_id, rest.strip()

    async def _found_chat(self, word: str) -> Found:
        found = self._any_named(word.strip())
        if found is None:
            raise NotFound("no_chat_of_anybody", "There is no such chat.")
        return Found(found.room_id, self._title_of(found.room_id))

    def _any_named(self, word: str) -> Chat | None:
        name = words.room(word)
        return next((each for each in self._messenger.registry if name in {each.room_id, each.alias, each.id}), None)

    def _alive(self, room_id: str) -> Chat:
        found = self._messenger.registry.get(room_id)
        if found is None:
            raise NotFound("no_chat_of_anybody", "There is no such chat.")
        return found

    def _title_of(self, room_id: str) -> str:
        found = self._messenger.registry.get(room_id)
        return words.one_line((found and (found.name or found.alias)) or room_id)


def _line(d: Dialog, held: Held) -> str:
    since = datetime.fromtimestamp(held.since / 1000, UTC)
    return d.t(
        "{chat}: {reason} (since {time}, by {person})", chat=held.title, reason=held.reason, time=since, person=held.by
    )
