"""Rooms that Rialto did not make: whoever owns one invites the hub with power, and it becomes a chat like others.

The hub invites the steward and gives it the power that it needs; the steward looks after the chat from then on, and
reads nothing. Nothing of what was said changes. The hub goes again, unless it is wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from appservice.homeserver import HomeserverError
from bots.framework import Context, Dialog, Key, Rest, command, dialog, timer
from bots.framework.i18n import _
from bots.hub import asides, words
from bots.hub.area import SHARED, Area
from bridge.actor import Actor
from bridge.domain.roles import Role, level_of, number, role_of, with_level
from bridge.errors import NotAllowed
from bridge.steward import Steward, within_power
from bridge.store.chats import Chat

log = logging.getLogger(__name__)

STAYS: Final = Key("stays", bool, default=False)
"""Whether somebody wants the hub in a room that it has adopted."""
GO: Final = "adoption go"
PATIENCE: Final = timedelta(hours=1)
POWER: Final = 100


class Adoption(Area):
    """Takes rooms over, and comes into chats and goes out of them."""

    @command("adopt", help=_("Have me look after a room that I did not make"))
    async def adopt(self, ctx: Context) -> None:
        """Say it in the room: its owner invites me, gives me the power 100, and says “!adopt”. Nothing that was said
        changes."""
        if self.here(ctx.room_id) is not None:
            ctx.say(ctx.t("This chat is one of mine already. “menu” shows what you can do."))
        elif len(await ctx.humans()) < 2:
            ctx.say(ctx.t("Invite me into the room that you mean, give me the power 100, and say “!adopt” there."))
        else:
            ctx.start(self.adopt_room)

    async def welcomed(self, ctx: Context) -> bool:
        """Say what is to be said when the hub has just come in among several people. A room in which it has power is
        taken over: only an owner can have given it.
        """
        if self.here(ctx.room_id) is not None:
            ctx.say(ctx.t("Hello, I am Rialto. “!menu” shows what I can do in this chat, “!help” all commands."))
            return True
        levels = await self._hands().power_levels(ctx.room_id)
        owner = _owner(levels, await ctx.humans(joined=True), str(ctx.event.unsigned.get("prev_sender", "")))
        if level_of(ctx.user_id, levels) < POWER or not owner:
            ctx.say(
                ctx.t(
                    "Hello, I am Rialto. I can look after this room: roles, invite links, disappearing messages. Give "
                    "me the power 100 (admin), and its owner says “!adopt”. Nothing that was said changes."
                )
            )
            return True
        asides.begin(ctx, ctx.room_id, self.adopt_room, person=owner)
        return True

    @dialog
    async def adopt_room(self, d: Dialog) -> None:
        """Take it over for its owner, and go if nobody wants the hub there."""
        chat: Chat = await self.try_step(d, "adopt", self._take_over, d.person, d.room_id)
        await d.do("patience", self._be_patient)
        name = words.one_line(chat.name) if chat.name else d.t("this room")
        done = d.t("“{chat}” is one of Rialto's chats now; nothing that was said has changed.", chat=name)
        where = d.t("In your own chat with me “chats” shows it.")
        stays = await d.confirm(f"{done} {where}\n{d.t('Shall I stay here, to hear commands in this chat?')}")
        if stays:
            await d.do("stay", _stay)
            await d.end(d.t("I stay. “!menu” shows what you can do."))
        await d.say(d.t("Then I go. You find me in our own chat."))
        await d.do("go", _go)

    async def _be_patient(self, ctx: Context) -> None:
        ctx.later(ctx.now() + PATIENCE, GO, key=f"go {ctx.room_id}")

    @timer(GO)
    async def nobody_answered(self, ctx: Context, data: Any) -> None:
        """Nobody has said that the hub is wanted."""
        if not await ctx.state.get(STAYS) and ctx.user_id in await ctx.members():
            await _go(ctx)

    # Coming and going

    @command("come", help=_("Have me in a chat, to hear commands there: come #2"))
    async def come(self, ctx: Context, which: Rest = "") -> None:
        """I come into the chat as a member, and hear what begins with “!” or my name. I can read what is written
        while I am there."""
        await self.begin(ctx, self.come_in, which)

    @dialog
    async def come_in(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Be invited."""
        found = await self.which(d, chat, SHARED)
        if found.room_id == d.room_id:
            await d.end(d.t("I am here already."))
        question = d.t(
            "Then I am a member of “{chat}” and can read what is written while I am there. Shall I come?",
            chat=found.title,
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.on(d, "come", self._messenger.members.add, found, self._user_id)
        await d.say(d.t("I am coming to “{chat}”.", chat=found.title))

    @command("go away", help=_("Send me out of this chat"))
    async def go_away(self, ctx: Context) -> None:
        """I leave this chat; it stays as it is, and you manage it from our own chat."""
        chat = self.here(ctx.room_id)
        if chat is None:
            ctx.say(ctx.t("That is for chats among people. If you do not need me any more, just leave this one."))
            return
        await self._messenger.permissions.require(Actor.person(ctx.sender), chat, Role.MODERATOR)
        ctx.say(ctx.t("I go. You find me in our own chat."))
        await _go(ctx)

    # How a room is taken over

    def _hands(self) -> Steward:
        """What the hub itself can do in rooms."""
        ground = self._messenger.ground
        return Steward(ground.homeserver, self._user_id, self._messenger.steward.server_name)

    async def _take_over(self, person: str, room_id: str) -> Chat:
        """Invite the steward, hand the power over, and have the service adopt the room. May be repeated.

        Raises:
            NotAllowed: whoever asks does not own the room, or the hub has too little power.
            Refused: it is a room that cannot be adopted.
        """
        hands, steward = self._hands(), self._messenger.steward.user_id
        levels = await hands.power_levels(room_id)
        if role_of(person, levels) is not Role.OWNER:
            raise NotAllowed("role_too_low", "Only owners may do this.", role=Role.OWNER.word)
        inside = await hands.membership(room_id, steward) == "join"
        own = level_of(self._user_id, levels)
        if not inside and own < POWER:
            raise NotAllowed("hub_power", "Give me the power 100 (admin) first.")
        with within_power():
            if not inside:
                await hands.invite(room_id, steward)
            if level_of(steward, levels) < own:
                await hands.set_state(room_id, "m.room.power_levels", with_level(levels, steward, own))
        chat = await self._messenger.chats.adopt(Actor.person(person), room_id)
        await self._lay_down(room_id)
        return chat

    async def _lay_down(self, room_id: str) -> None:
        """The hub needs its power no more: what it does in chats the steward does."""
        hands = self._hands()
        levels = await hands.power_levels(room_id)
        usual = number(levels.get("users_default"), 0)
        if level_of(self._user_id, levels) <= usual:
            return
        try:
            await hands.set_state(room_id, "m.room.power_levels", with_level(levels, self._user_id, usual))
        except HomeserverError as error:
            if error.temporary:
                raise
            log.info("the power of before stays: %s", error, extra={"room_id": room_id})


def _owner(levels: Mapping[str, Any], people: list[str], inviter: str) -> str:
    """Whom a room is adopted for: who has invited the hub, when they own it, or who owns it; "" for nobody."""
    owners = [each for each in people if role_of(each, levels) is Role.OWNER]
    return inviter if inviter in owners else next(iter(sorted(owners)), "")


async def _stay(ctx: Context) -> None:
    ctx.state.set(STAYS, True)


async def _go(ctx: Context) -> None:
    """Leave the room, after what was said in it."""
    ctx.set_state("m.room.member", {"membership": "leave"}, ctx.user_id)
