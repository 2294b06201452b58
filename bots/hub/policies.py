"""Policy lists, for moderators: which are followed, and the rules that are published for others to follow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bots.framework import Context, Dialog, Option, Rest, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import Area
from bridge.actor import Actor
from bridge.domain.policies import MOST_ENTITY, Kind

PAGE: Final = 20
NOTHING: Final = "nothing"
SIGILS: Final = {"@": Kind.USER, "!": Kind.ROOM, "#": Kind.ROOM}
"""What a rule is about, by the first character of its entity; anything else is a server."""


@dataclass(frozen=True, slots=True)
class Followed:
    """A list, as a dialog records it."""

    room_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Published:
    """A rule of our own list, as a dialog records it."""

    kind: Kind
    entity: str
    reason: str


class Policies(Area):
    """Who is not wanted in any chat, by others' lists and by our own."""

    @command("policies", help=_("Lists of who is not wanted in any chat, as a moderator"), aliases=("policy lists",))
    async def policies(self, ctx: Context) -> None:
        """The lists that are followed, our own rules, and what can be done about them."""
        if await self.aside(ctx):
            ctx.start(self.manage_policies)

    @dialog
    async def manage_policies(self, d: Dialog) -> None:
        """What there is, and what to do about it."""
        followed: list[Followed] = await self.try_step(d, "lists", self._followed, d.person)
        rules: list[Published] = await self.try_step(d, "rules", self._published, d.person)
        lines = [d.t("No list of others is followed.")]
        if followed:
            lines = [d.t("Lists that are followed:"), *(f"• {each.name} ({each.room_id})" for each in followed)]
        lines.append(d.n("Our own list has {count} rule.", "Our own list has {count} rules.", len(rules)))
        options = [
            Option("follow_policies", d.t("Follow a list")),
            Option("publish_rule", d.t("Publish a rule")),
        ]
        if followed:
            options.append(Option("unfollow_policies", d.t("Follow a list no more")))
        if rules:
            options += [Option("show_rules", d.t("Show our rules")), Option("withdraw_rule", d.t("Withdraw a rule"))]
        options.append(Option(NOTHING, d.t("Nothing")))
        await d.say("\n".join(lines))
        picked = (await d.choose(d.t("What would you like to do?"), options)).value
        if picked == NOTHING:
            await d.end(d.t("Everything stays as it is."))
        await getattr(self, picked)(d)

    async def _followed(self, person: str) -> list[Followed]:
        lists = await self._messenger.policies.lists(Actor.person(person))
        return [Followed(each.room_id, words.one_line(each.name)) for each in lists if not each.own]

    async def _published(self, person: str) -> list[Published]:
        rules = await self._messenger.policies.published(Actor.person(person))
        return [Published(each.kind, each.entity, words.one_line(each.reason, 120)) for each in rules]

    # Others' lists

    @command("policy follow", help=_("Follow a list of who is not wanted: policy follow #list:example.org"))
    async def policy_follow(self, ctx: Context, which: Rest = "") -> None:
        """Whom it names is banned from every chat, now and when they come, for as long as it says so."""
        if await self.aside(ctx):
            ctx.start(self.follow_policies, which.strip())

    @dialog
    async def follow_policies(self, d: Dialog, which: str = "") -> None:
        """Ask which, unless it was said; whom it names is banned."""
        if not which:
            which = await d.ask(d.t("Which list? Write its address, such as #list:example.org, or a link to it."))
        room = words.room(which)
        question = d.t(
            "Whom “{list}” names is banned from every chat, for as long as it says so. Follow it?",
            list=words.one_line(room),
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        name: str = await self.try_step(d, "follow", self._follow, d.person, room)
        await d.say(d.t("“{list}” is followed from now on.", list=name))

    async def _follow(self, person: str, room: str) -> str:
        return words.one_line((await self._messenger.policies.subscribe(Actor.person(person), room)).name)

    @command("policy unfollow", help=_("Follow a list no more: who was banned by it alone may come again"))
    async def policy_unfollow(self, ctx: Context) -> None:
        """I ask which. Lists of the configuration are the operator's to end."""
        if await self.aside(ctx):
            ctx.start(self.unfollow_policies)

    @dialog
    async def unfollow_policies(self, d: Dialog) -> None:
        """Which of those that are followed."""
        followed: list[Followed] = await self.try_step(d, "followed", self._followed, d.person)
        if not followed:
            await d.end(d.t("No list of others is followed."))
        options = [Option(each.room_id, each.name, each.room_id) for each in followed]
        options.append(Option(NOTHING, d.t("None of them")))
        picked = await d.choose(d.t("Which list shall be followed no more?"), options)
        if picked.value == NOTHING:
            await d.end(d.t("Everything stays as it is."))
        await self.try_step(d, "unfollow", self._unfollow, d.person, picked.value)
        await d.say(d.t("It is followed no more. Who was banned by it alone may come again."))

    async def _unfollow(self, person: str, room_id: str) -> None:
        await self._messenger.policies.unsubscribe(Actor.person(person), room_id)

    # Our own list

    @command("policy ban", help=_("Publish a rule: policy ban @eve:example.org spam, policy ban evil.example"))
    async def policy_ban(self, ctx: Context, whom_and_why: Rest = "") -> None:
        """About a person, a room or a server; “*” is any characters. It is obeyed here, and by who follows our list."""
        if await self.aside(ctx):
            entity, _space, reason = whom_and_why.strip().partition(" ")
            ctx.start(self.publish_rule, words.room(entity), reason.strip())

    @dialog
    async def publish_rule(self, d: Dialog, entity: str = "", reason: str = "") -> None:
        """About whom, and why; everybody can read it."""
        if not entity:
            entity = await d.ask(
                d.t("About whom? A person such as @eve:example.org, a room, or a server; “*” is any characters.")
            )
            entity = words.room(entity)
            reason = await d.ask(d.t("Why? Everybody can read it. Or “no”."))
            reason = "" if words.says_no(reason) else reason
        question = d.t(
            "Who or what “{entity}” matches is banned from every chat here, and wherever our list is followed. "
            "Publish the rule?",
            entity=words.one_line(entity),
        )
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.try_step(d, "publish", self._publish, d.person, entity, reason)
        address = self._messenger.policies.alias
        await d.say(d.t("The rule is published. Our list for others to follow: {address}", address=address))

    async def _publish(self, person: str, entity: str, reason: str) -> None:
        kind = SIGILS.get(entity[:1], Kind.SERVER)
        await self._messenger.policies.publish(Actor.person(person), kind, entity, reason)

    @dialog
    async def show_rules(self, d: Dialog) -> None:
        """Page after page."""
        rules: list[Published] = await self.try_step(d, "published", self._published, d.person)
        if not rules:
            await d.end(d.t("We publish no rule."))
        for begin in range(0, len(rules), PAGE):
            await d.say("\n".join(f"• {_line(each)}" for each in rules[begin : begin + PAGE]))
            if begin + PAGE < len(rules) and not await d.confirm(d.t("Show more?")):
                return

    @command("policy unban", help=_("Withdraw a rule: policy unban @eve:example.org"))
    async def policy_unban(self, ctx: Context, whom: Rest = "") -> None:
        """The rule that I publish about somebody or something; who was banned by it alone may come again."""
        if await self.aside(ctx):
            ctx.start(self.withdraw_rule, words.room(whom))

    @dialog
    async def withdraw_rule(self, d: Dialog, entity: str = "") -> None:
        """Which of our own, unless it was said."""
        if not entity:
            rules: list[Published] = await self.try_step(d, "ours", self._published, d.person)
            if not rules:
                await d.end(d.t("We publish no rule."))
            options = [Option(str(number), _line(each)) for number, each in enumerate(rules)]
            options.append(Option(NOTHING, d.t("None of them")))
            picked = (await d.choose(d.t("Which rule shall be withdrawn?"), options)).value
            if picked == NOTHING:
                await d.end(d.t("Everything stays as it is."))
            entity = rules[int(picked)].entity
        await self.try_step(d, "withdraw", self._withdraw, d.person, entity)
        await d.say(d.t("The rule is withdrawn. Who was banned by it alone may come again."))

    async def _withdraw(self, person: str, entity: str) -> None:
        kind = SIGILS.get(entity[:1], Kind.SERVER)
        await self._messenger.policies.retract(Actor.person(person), kind, entity)


def _line(rule: Published) -> str:
    entity = words.one_line(rule.entity, MOST_ENTITY)
    return f"{entity}: {rule.reason}" if rule.reason else entity
