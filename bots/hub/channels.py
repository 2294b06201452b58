"""What channels have beside posts: a discussion group, and what posts have reached."""

from __future__ import annotations

from typing import Final

from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.hub.area import Area, Chosen
from bridge.actor import Actor
from bridge.domain.kinds import Kind
from bridge.store.chats import Chat

CHANNELS: Final = frozenset({Kind.CHANNEL})
GROUPS: Final = frozenset({Kind.GROUP})
NONE: Final = "none"


class Channels(Area):
    """Channels."""

    @command("discussion", help=_("Give a channel a group in which its posts are discussed"))
    async def discussion(self, ctx: Context, which: Rest = "") -> None:
        """Choose one of your groups; comments on posts are written there."""
        await self.begin(ctx, self.link_discussion, which)

    @dialog
    async def link_discussion(self, d: Dialog, chat: str, rest: str = "") -> None:
        """Which group, or none."""
        channel = await self.which(d, chat, CHANNELS)
        groups: list[Chosen] = await d.look("groups", self._offered, d.person, GROUPS)
        options = [Option(each.id, each.title) for each in groups] + [Option(NONE, d.t("No group"))]
        question = d.t("In which of your groups shall posts of “{chat}” be discussed?", chat=channel.title)
        picked = (await d.choose(question, options)).value
        await self.on(d, "link", self._link, channel, "" if picked == NONE else picked)
        if picked == NONE:
            await d.end(d.t("“{chat}” has no discussion group now.", chat=channel.title))
        group = next(each.title for each in groups if each.id == picked)
        await d.say(d.t("Posts of “{chat}” are discussed in “{group}” now.", chat=channel.title, group=group))

    async def _link(self, actor: Actor, channel: Chat, group_id: str) -> None:
        group = await self._messenger.chats.get(actor, group_id) if group_id else None
        await self._messenger.channels.link_discussion(actor, channel, group)

    @command("statistics", help=_("What a post has reached: reply to it with statistics, or give its link"))
    async def statistics(self, ctx: Context, link: Rest = "") -> None:
        """How many have read it, reacted and commented. Who hides read receipts is not counted."""
        where = self.message_of(ctx, link)
        if where is None:
            ctx.say(ctx.t("Which message? Reply to it, or write its link: clients call that “share” or “copy link”."))
            return
        actor = Actor.person(ctx.sender)
        chat = await self._messenger.chats.get(actor, where.room_id)
        found = await self._messenger.channels.post_statistics(actor, chat, where.event_id)
        ctx.say(
            "\n".join(
                [
                    ctx.n("{count} person has read it.", "{count} people have read it.", found.reach),
                    ctx.n("{count} reaction.", "{count} reactions.", found.reactions),
                    ctx.n("{count} comment.", "{count} comments.", found.comments),
                ]
            )
        )
