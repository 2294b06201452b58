"""Rider and driver talk: through the bot, so that neither learns the other's account, or in a room of the trip where
the operator wants that.

Both can until some hours after the trip, for what was left in the car; then it is closed.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

from bots.domain.trips import DRIVEN, HAS_DRIVER, TEXT_MAX, Trip
from bots.framework import Context, Rest, command, message, timer
from bots.framework.context import TIMER_FIRED
from bots.framework.i18n import _
from bots.rides.riding.telling import Telling
from bots.rides.riding.texts import trip_name

__all__ = ["Talking"]

CLOSE_ROOM: Final = "ride_room_close"
LEVELS: Final = "m.room.power_levels"
BOT_POWER: Final = 100
TOO_LONG: Final = _("That is longer than {most} characters.")
PATTERN: Final = r"^\s*(?:@|to\s+)(?P<who>driver|courier|rider|sender|passenger)\s*:\s*(?P<words>\S[\s\S]*)$"


class Talking(Telling):
    """Messages between the two of a trip, for the plugin to inherit."""

    @command("to driver", help=_("Write to your driver: to driver I am at the gate"), aliases=("to courier",))
    async def write_to_driver(self, ctx: Context, words: Rest) -> None:
        """Write to the driver of your trip, now or about something that you left in the car. They do not see your
        account."""
        await self._from_rider(ctx, words)

    @command("to rider", help=_("Write to whom you drive"), aliases=("to sender", "to passenger"), hidden=True)
    async def write_to_rider(self, ctx: Context, words: Rest) -> None:
        """Write to the rider of the trip that you drive or drove last. They do not see your account."""
        await self._from_driver(ctx, words)

    @message(regex=PATTERN, addressed=True)
    async def write_to(self, ctx: Context, who: str = "", words: str = "") -> None:
        """The same with a colon: “to driver: …”."""
        if who.casefold() in {"driver", "courier"}:
            await self._from_rider(ctx, words)
        else:
            await self._from_driver(ctx, words)

    async def _from_rider(self, ctx: Context, words: str) -> None:
        if not await self.private(ctx):
            return
        trip = await self._trip_to_talk_of(ctx, ctx.sender)
        driver = None if trip is None else await self.fleet.drivers.get(ctx, trip.driver)
        if trip is None or driver is None:
            ctx.say(ctx.t("You have no trip with a driver whom you could write to."))
            return
        say = await self.words_of(ctx, driver.person)
        who = say.t("{trip}, {name}", trip=trip_name(say, trip), name=trip.passenger or say.t("Rider"))
        self._pass_on(ctx, words, driver.room_id, who, say.t("Answer with “to rider: …”."))

    async def _from_driver(self, ctx: Context, words: str) -> None:
        if not await self.private(ctx):
            return
        trip = await self._driven(ctx, ctx.sender)
        if trip is None:
            ctx.say(ctx.t("You have no trip whose rider you could write to."))
            return
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        say = await self.words_of(ctx, trip.rider)
        name = "" if driver is None else driver.name
        who = say.t("{trip}, {name}", trip=trip_name(say, trip), name=name or say.t("Driver"))
        self._pass_on(ctx, words, trip.room_id, who, say.t("Answer with “to driver: …”."))

    def _pass_on(self, ctx: Context, words: str, room_id: str, who: str, how: str) -> None:
        """Say it in the other's chat; a mark on the message says that it was passed on."""
        text = words.lstrip(" :").strip()
        if len(text) > TEXT_MAX:
            ctx.say(ctx.t(TOO_LONG, most=TEXT_MAX))
            return
        ctx.say(f"{who}: {text}\n{how}", room_id=room_id, notice=False)
        ctx.react("✅")

    # Which trip

    async def _trip_to_talk_of(self, reader: Context, rider: str) -> Trip | None:
        found = await self.fleet.trips.of_rider(reader, rider, limit=10)
        return self._talking(reader, [each for each in found if each.driver])

    async def _driven(self, ctx: Context, driver: str) -> Trip | None:
        now = await self.fleet.trips.current_of_driver(ctx, driver)
        last = await self.fleet.trips.of_driver(ctx, driver, limit=3)
        return self._talking(ctx, [each for each in (*now, *last) if each.rider and each.room_id])

    def _talking(self, ctx: Context, found: list[Trip]) -> Trip | None:
        """The one that is under way, or that has ended not long ago."""
        under_way = next((each for each in found if each.state in HAS_DRIVER), None)
        if under_way is not None:
            return under_way
        since = ctx.now() - self.riding.lost
        ended = (each for each in found if each.state in DRIVEN)
        return next((each for each in ended if each.ended_at is not None and each.ended_at > since), None)

    # A room of the trip

    async def matched(self, ctx: Context, trip: Trip) -> None:
        """Somebody has taken a trip: where the operator wants it, both get a room."""
        if self.riding.contact == "room" and trip.rider:
            words = await self.words_of(ctx, trip.rider)
            room_id = await self._room(ctx, trip, trip_name(words, trip))
            text = words.t("Rider and driver can write here, until {hours} hours after the trip.",
                           hours=self.riding.lost_hours)  # fmt: skip
            ctx.send({"msgtype": "m.notice", "body": text}, room_id=room_id, key=f"room/{trip.id}/{trip.priority}")

    async def _room(self, ctx: Context, trip: Trip, name: str) -> str:
        """The trip's room: the same one however often it is asked for, another one for another driver."""
        purpose = f"trip/{trip.id}/{trip.priority}"
        return await ctx.create_room(name, [trip.rider, trip.driver], purpose=purpose)

    def room_ends(self, ctx: Context, trip: Trip, driver: str, priority: int) -> None:
        """The trip, or a driver's part in it, is over: its room is closed after the time for lost items."""
        if self.riding.contact != "room" or not driver:
            return
        wait = self.riding.lost if trip.state in DRIVEN else timedelta()
        call = {"name": CLOSE_ROOM, "data": {"trip": trip.id, "driver": driver, "priority": priority}}
        key = f"{CLOSE_ROOM}/{trip.id}/{priority}"
        ctx.schedules.at(ctx.now() + wait, TIMER_FIRED, call, key=key, room=trip.room_id, person=trip.rider)

    @timer(CLOSE_ROOM)
    async def close_trip_room(self, ctx: Context, data: dict[str, Any]) -> None:
        """Nobody but the bot writes in the room of a trip any more."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is None:
            return
        purpose = f"trip/{trip.id}/{data['priority']}"
        people = [trip.rider, data["driver"]]
        room_id = await ctx.create_room(trip_name(ctx.translator, trip), people, purpose=purpose)
        ctx.say(ctx.t("This room is closed now. “to driver: …” and the operator are there for what is left."),
                room_id=room_id)  # fmt: skip
        ctx.set_state(
            LEVELS,
            {"users": {ctx.user_id: BOT_POWER}, "users_default": 0, "events_default": BOT_POWER,
             "state_default": BOT_POWER, "invite": BOT_POWER},
            room_id=room_id,
        )  # fmt: skip
