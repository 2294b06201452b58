"""The lunch picker."""

from __future__ import annotations

from datetime import time, timedelta
from typing import Any, Final

from pydantic import BaseModel, Field

from bots.framework import Context, Dialog, Key, Plugin, Rest, Setup, command, dialog, joined, timer
from bots.framework.i18n import parse_zone

from .ballot import cleaned, ranking, winners

MOST: Final = 20
"""A poll has so many answers at most."""
PLACES: Final = Key("places", dict[str, int], default={})
"""The places of a room, and how often each was chosen."""
ZONE: Final = Key("zone", str)
"""The time zone of a room, once it has one."""


class Settings(BaseModel):
    """What an operator can set."""

    minutes: int = Field(30, ge=1, le=600, description="How long a vote is open.")


class LunchPicker(Plugin):
    """Asks a group where to eat, by a poll, every weekday if it likes; and keeps the group's favourites."""

    name = "lunch-picker"
    summary = "Asks a group where to eat."
    Settings = Settings
    scopes = frozenset({"state", "schedules"})

    def __init__(self, setup: Setup) -> None:
        self._minutes = setup.settings.minutes

    @joined
    async def hello(self, ctx: Context) -> None:
        """Say what it is for."""
        ctx.say(ctx.t("Hello! “!lunch” lets this room vote on where to eat, “!help” shows what else I know."))

    # Voting

    @command("lunch", help="Vote on where to eat")
    async def lunch(self, ctx: Context) -> None:
        """Start a poll of the room's places. It ends when everybody has voted, or when the time is over."""
        await self._begin(ctx)

    @timer("lunchtime")
    async def lunchtime(self, ctx: Context, _data: Any) -> None:
        """It is that time of the day."""
        await self._begin(ctx)

    async def _begin(self, ctx: Context) -> None:
        if await ctx.running(self.pick):
            ctx.say(ctx.t("A vote is open already."))
            return
        ctx.start(self.pick, await ctx.humans(), people=["*"])

    @dialog(timeout=timedelta(hours=2))
    async def pick(self, d: Dialog, voters: list[str]) -> None:
        """One vote, from the question to the result."""
        places = await d.do("read places", self._favourites)
        if len(places) < 2:
            names = await d.ask(
                d.t("Which places are near? Reply to this message with two or more, such as: Soup, Pizza, Noodles"),
                validate=_two_or_more,
            )
            await d.do("keep places", self._keep, cleaned(names))
            places = await d.do("read again", self._favourites)
        votes = await d.vote(
            d.t("Where shall we eat? The vote is open for {minutes} minutes.", minutes=self._minutes),
            places,
            until=timedelta(minutes=self._minutes),
            voters=voters,
        )
        if not votes:
            await d.end(d.t("Nobody voted, so everybody eats where they like."))
        ranked = ranking(votes)
        best = winners(ranked)
        chosen = best[int(await d.random() * len(best))]
        await d.do("count", self._count, chosen)
        counts = ", ".join(f"{place} {count}" for place, count in ranked)
        if len(best) > 1:
            tied = " / ".join(best)
            await d.say(d.t("A tie: {tied}. I drew {place}. ({counts})", tied=tied, place=chosen, counts=counts))
        else:
            await d.say(d.t("Today it is {place}. ({counts})", place=chosen, counts=counts))

    async def _favourites(self, ctx: Context) -> list[str]:
        places = await ctx.state.get(PLACES)
        return sorted(places, key=lambda place: (-places[place], place.casefold()))[:MOST]

    async def _keep(self, ctx: Context, names: list[str]) -> None:
        def add(places: dict[str, int]) -> dict[str, int]:
            known = {place.casefold() for place in places}
            return places | {name: 0 for name in names if name.casefold() not in known}

        await ctx.state.update(PLACES, add)

    async def _count(self, ctx: Context, place: str) -> None:
        def count(places: dict[str, int]) -> dict[str, int]:
            # Somebody may have removed it while the vote was open.
            return places | {place: places[place] + 1} if place in places else places

        await ctx.state.update(PLACES, count)

    # Places

    @command("lunch places", help="Show the places, favourites first", aliases=("lunch list",))
    async def places(self, ctx: Context) -> None:
        """Show the places of this room, and how often each was chosen."""
        places = await ctx.state.get(PLACES)
        if not places:
            ctx.say(ctx.t("There are no places yet. “!lunch add Soup, Pizza” adds two."))
            return
        lines = [f"{place} – {places[place]}×" for place in sorted(places, key=lambda each: (-places[each], each))]
        ctx.say(ctx.t("Our places:") + "\n" + "\n".join(lines))

    @command("lunch add", help="Add places")
    async def add(self, ctx: Context, names: Rest) -> None:
        """Add one place, or several with commas between them."""
        wanted = cleaned(names)
        if not wanted:
            ctx.say(ctx.t("Name a place, or several with commas between them."))
            return
        places = await ctx.state.get(PLACES)
        if len(places) + len(wanted) > MOST:
            ctx.say(ctx.t("A room has {most} places at most; there are {known}.", most=MOST, known=len(places)))
            return
        await self._keep(ctx, wanted)
        ctx.say(ctx.t("Added: {names}", names=", ".join(wanted)))

    @command("lunch remove", help="Remove a place")
    async def remove(self, ctx: Context) -> None:
        """Choose the place that is no more."""
        if await ctx.state.get(PLACES):
            ctx.start(self.removal)
        else:
            ctx.say(ctx.t("There are no places yet."))

    @dialog
    async def removal(self, d: Dialog) -> None:
        """Which one."""
        place = await d.choose(d.t("Which one?"), await d.do("read places", self._favourites))
        await d.do("remove", self._remove, place)
        await d.say(d.t("Removed: {place}", place=place))

    async def _remove(self, ctx: Context, place: str) -> None:
        await ctx.state.update(PLACES, lambda places: {name: n for name, n in places.items() if name != place})

    # The daily vote

    @command("lunch daily", help="Vote every weekday at a time")
    async def daily(self, ctx: Context, at: time) -> None:
        """Start a vote from Monday to Friday at this time of the day, by the clock of the room's time zone."""
        zone = await ctx.state.get(ZONE) or ctx.zone
        ctx.state.set(ZONE, zone)
        self._schedule(ctx, at, zone)
        ctx.say(ctx.t("I will ask from Monday to Friday at {time} ({zone}).", time=f"{at:%H:%M}", zone=zone))

    def _schedule(self, ctx: Context, at: time, zone: str) -> None:
        line = f"{at.minute} {at.hour} * * mon-fri"
        # A vote that was missed while the service was down is not made up for: lunch is over.
        data = at.isoformat()
        ctx.regularly(line, "lunchtime", data, key=self._key(ctx), zone=zone, catch_up="skip")

    def _key(self, ctx: Context) -> str:
        return f"daily:{ctx.room_id}"

    @command("lunch stop", help="Vote no more by yourself")
    async def stop_daily(self, ctx: Context) -> None:
        """No vote starts by itself any more."""
        ctx.schedules.cancel(self._key(ctx))
        ctx.say(ctx.t("I will not ask by myself any more."))

    @command("lunch zone", help="Set the time zone of this room")
    async def zone(self, ctx: Context, city: Rest) -> None:
        """The clock that the daily vote goes by: the name of a city near you."""
        answer = parse_zone(city, ctx.translator.language)
        if answer.zone is None:
            ctx.say(ctx.t("I do not know the time zone “{given}”. Name a city, such as Berlin.", given=city[:40]))
            return
        ctx.state.set(ZONE, answer.zone)
        for schedule in await ctx.schedules.list(self._key(ctx)):
            if schedule.key == self._key(ctx):
                self._schedule(ctx, time.fromisoformat(schedule.data["data"]), answer.zone)
        ctx.say(ctx.t("The time zone of this room is {zone}.", zone=answer.zone))


def _two_or_more(words: str) -> None:
    if not 2 <= len(cleaned(words)) <= MOST:
        raise ValueError("Please name two or more places, with commas between them.")
