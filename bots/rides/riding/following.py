"""Where the driver is, as the rider sees it: live positions for clients that draw them, and words when it counts.

Live positions go out as the bot's own beacon (MSC3489, MSC3672, under the names that clients know so far): a state
event begins and ends it and names nobody and no place; the positions are messages, encrypted as every other. Clients
that do not know them show nothing; for them, and for everybody, a few messages say what matters: half of the way is
behind the driver, they are near, they are late, nothing is heard of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from appservice.clock import to_ms
from appservice.homeserver import HomeserverError, path
from bots.domain.drivers import Position
from bots.domain.places import Point, distance_m
from bots.domain.trips import HAS_DRIVER, Trip, TripKind, TripState
from bots.framework import Context, Key, timer
from bots.framework.content import GeoPoint
from bots.rides.pages.share import ago
from bots.rides.riding.telling import FOLLOW, Telling
from bots.rides.riding.texts import about, trip_name
from bots.routing.base import Route, RoutingError

__all__ = ["BEACON", "BEACON_INFO", "Following"]

BEACON_INFO: Final = "org.matrix.msc3672.beacon_info"
BEACON: Final = "org.matrix.msc3672.beacon"
LOCATION: Final = "org.matrix.msc3488.location"
ASSET: Final = "org.matrix.msc3488.asset"
AT: Final = "org.matrix.msc3488.ts"
LIVE_FOR: Final = timedelta(hours=6)
"""A beacon ends by itself after so long, whatever becomes of us."""
MOVED_M: Final = 15.0
"""Who has not moved so far is where they were."""
NEAR: Final = timedelta(seconds=90)
NEAR_M: Final = 300.0
HALFWAY_FROM: Final = timedelta(minutes=6)
"""Of a shorter way nobody is told that half of it is over."""
LATE: Final = timedelta(minutes=4)
"""Later than promised by so much is said."""
BEGIN: Final = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class Live:
    """The beacon that a room has. ``trip``: id; ``reference``: of the state event; ``until``: ms, when it ends."""

    trip: str
    reference: str
    until: int


LIVE: Final = Key("live", Live, default=None, secret=True, ttl=LIVE_FOR)


class Following(Telling):
    """Live positions, for the plugin to inherit."""

    def follow(self, ctx: Context, trip: Trip) -> None:
        """Show the rider where the driver is from now on."""
        self.soon(ctx, FOLLOW, trip, at=ctx.now() + BEGIN, driver=trip.driver, state=trip.state.value, said=[])

    def unfollow(self, ctx: Context, trip: Trip) -> None:
        """Have the beacon ended, and follow no more."""
        self.soon(ctx, FOLLOW, trip, driver="", state=trip.state.value, said=[])

    @timer(FOLLOW)
    async def follow_driver(self, ctx: Context, data: dict[str, Any]) -> None:
        """Look where the driver is, and say what is to be said of it."""
        trip = await self.fleet.trips.get(ctx, data["trip"])
        if trip is None:
            return
        if trip.state not in HAS_DRIVER:
            await self._end_live(ctx, trip)
            return
        same = trip.driver == data["driver"] and trip.state.value == data["state"]
        said: list[str] = list(data["said"]) if same else []
        seen = self.fleet.positions.last(trip.driver)
        if seen is None or ctx.now() - seen.position.at > timedelta(seconds=self.riding.lost_after_seconds):
            if trip.state is not TripState.ARRIVED:  # then they are where they are
                self._lost(ctx, trip, None if seen is None else seen.position, said)
        else:
            if "lost" in said:
                said.remove("lost")
            await self._send_live(ctx, trip, seen.position, data.get("at_point") if same else None)
            await self._say_where(ctx, trip, seen.position, said)
        here = None if seen is None else [seen.position.point.latitude, seen.position.point.longitude]
        later = ctx.now() + timedelta(seconds=self.riding.follow_seconds)
        self.soon(ctx, FOLLOW, trip, at=later, driver=trip.driver, state=trip.state.value, said=said, at_point=here)

    # Words

    def _lost(self, ctx: Context, trip: Trip, last: Position | None, said: list[str]) -> None:
        """Say once that nothing is heard of the driver."""
        if "lost" in said:
            return
        said.append("lost")
        if last is None:
            ctx.say(ctx.t("I do not know where the driver is just now. They can still be written to."))
            return
        words = ctx.t("Nothing is heard of the driver's position just now. Last seen {ago}:",
                      ago=ago(ctx.translator, ctx.now() - last.at))  # fmt: skip
        ctx.say(words)
        ctx.location(last.point.latitude, last.point.longitude, ctx.t("Last seen here"))

    async def _say_where(self, ctx: Context, trip: Trip, position: Position, said: list[str]) -> None:
        if trip.state is not TripState.MATCHED or trip.pickup.point is None:
            return
        route = await self.ahead(trip, position.point, ctx.now())
        if route is None:
            return
        now = ctx.now()
        left = timedelta(seconds=route.seconds)
        near = left <= NEAR or distance_m(position.point, trip.pickup.point) <= NEAR_M
        promised = trip.promised_at
        if near and "near" not in said:
            said += ["near", "half"]
            ride = trip.kind is TripKind.RIDE
            text = ctx.t("Your driver is almost there.") if ride else ctx.t("Your courier is almost there.")
            ctx.say(text, notice=False)
        elif promised is not None and now + left > promised + LATE and "late" not in said:
            said.append("late")
            when = about(ctx.translator, now + left, now)
            trip_words = trip_name(ctx.translator, trip)
            ctx.say(ctx.t("{trip} is later than was promised: at the pickup {when}.", trip=trip_words, when=when))
        elif promised is not None and trip.matched_at is not None and "half" not in said:
            whole = promised - trip.matched_at
            if whole >= HALFWAY_FROM and left <= whole / 2:
                said.append("half")
                when = about(ctx.translator, now + left, now)
                ctx.say(ctx.t("Half of the way to you is behind them: at the pickup {when}.", when=when))

    async def ahead(self, trip: Trip, here: Point, at: datetime) -> Route | None:
        """What is still to be driven: to the pickup, or over the stops that are left to the destination. None: it is
        not known just now."""
        if trip.state is TripState.MATCHED:
            places = [trip.pickup]
        else:
            places = [*(stop.place for stop in trip.stops if stop.left_at is None), trip.dropoff]
        try:
            return await self.fleet.router.route([here, *(each.point for each in places if each.point)], at)
        except RoutingError:
            return None

    # Live positions

    async def _send_live(self, ctx: Context, trip: Trip, position: Position, before: object) -> None:
        live = await ctx.state.get(LIVE)
        fresh = live is not None and live.trip == trip.id and live.until > ctx.now_ms()
        if live is not None and live.trip != trip.id and live.until > ctx.now_ms():
            return  # another trip in the same room has it
        if not fresh:
            if not await self._may_beacon(ctx):
                return
            reference = ctx.set_state(BEACON_INFO, self._info(ctx, live=True), ctx.user_id)
            live = Live(trip.id, reference, ctx.now_ms() + LIVE_FOR // timedelta(milliseconds=1))
            ctx.state.set(LIVE, live)
        elif isinstance(before, list) and distance_m(Point(*before), position.point) < MOVED_M:
            return
        assert live is not None
        ctx.send(beacon(position, live.reference), event_type=BEACON)

    async def _end_live(self, ctx: Context, trip: Trip) -> None:
        live = await ctx.state.get(LIVE)
        if live is not None and live.trip == trip.id:
            ctx.set_state(BEACON_INFO, self._info(ctx, live=False), ctx.user_id)
            ctx.state.delete(LIVE)

    def _info(self, ctx: Context, *, live: bool) -> dict[str, Any]:
        """State is never encrypted: it says that there is a position, and not whose or of what trip."""
        return {
            "description": ctx.t("Driver"),
            "live": live,
            "timeout": LIVE_FOR // timedelta(milliseconds=1),
            AT: ctx.now_ms(),
            ASSET: {"type": "m.self"},
        }

    async def _may_beacon(self, ctx: Context) -> bool:
        """Whether the bot may set the state event that begins a beacon."""
        url = path("/_matrix/client/v3/rooms", ctx.room_id, "state", "m.room.power_levels")
        try:
            levels = await ctx.services.homeserver.request("GET", url, user_id=ctx.user_id)
        except HomeserverError as error:
            if error.temporary:
                raise
            return False
        if not isinstance(levels, Mapping):
            return False
        users, events = levels.get("users", {}), levels.get("events", {})
        power = users.get(ctx.user_id, levels.get("users_default", 0))
        return bool(power >= events.get(BEACON_INFO, levels.get("state_default", 50)))


def beacon(position: Position, reference: str) -> dict[str, Any]:
    """A live position that belongs to the beacon that ``reference`` has begun."""
    point = GeoPoint(position.point.latitude, position.point.longitude, uncertainty=position.accuracy_m)
    return {
        "m.relates_to": {"rel_type": "m.reference", "event_id": reference},
        LOCATION: {"uri": point.uri},
        AT: to_ms(position.at),
    }
