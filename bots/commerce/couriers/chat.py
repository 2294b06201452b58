"""The couriers' side in chat: signing up, online and offline, offers, the way, what they earn."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

from bots.commerce.couriers import texts
from bots.commerce.couriers.approval import CourierApproval
from bots.commerce.couriers.keeping import CourierKeeping
from bots.commerce.couriers.pool import CHANGED, LAPSE, OFFER, SEARCH, TAKEN_AWAY
from bots.domain.couriers import (
    COURIER_WORDS,
    HAS_COURIER,
    NAME_MAX,
    VEHICLE_MAX,
    Courier,
    CourierAction,
    CourierError,
    CourierJob,
    CourierState,
    JobKind,
    JobState,
)
from bots.domain.numerals import typed_digits
from bots.framework import (
    Attachment,
    Context,
    Dialog,
    InvalidValue,
    Option,
    RateLimit,
    Said,
    command,
    dialog,
    timer,
)
from bots.framework.i18n import _
from bots.framework.own_chat import alone

__all__ = ["Couriering"]

SIGN_UPS: Final = RateLimit(10, per=3600)
EARNED_MOST: Final = 10
"""Trips in one list."""
SUMMED_MOST: Final = 500


@dataclass(frozen=True, slots=True)
class Way:
    """Where a trip stands, as a dialog keeps it: what is to be done, and what can be."""

    text: str
    stage: str


class Couriering(CourierApproval, CourierKeeping):
    """For the plugin to inherit. Its constructor sets :attr:`pool`, and :attr:`desk`, by which couriers are paid."""

    offered_for: timedelta

    # Signing up

    @command("courier", help=_("Bring orders to people, and earn"), limit=SIGN_UPS)
    async def courier_self(self, ctx: Context) -> None:
        """Become a courier, or see where you stand as one."""
        if not await alone(ctx):
            ctx.say(ctx.t("Please write “courier” to me in an encrypted chat of our own."))
            return
        if self.couriers_elsewhere(ctx):
            return
        courier = await self.pool.courier(ctx, ctx.sender)
        if courier is None or courier.state is CourierState.REJECTED:
            ctx.start(self.courier_signs_up)
            return
        lines = [ctx.t("You are a courier: {state}.", state=ctx.t(COURIER_WORDS[courier.state]))]
        if courier.job:
            lines.append(ctx.t("You have a trip: “trip” shows it."))
        if courier.state in {CourierState.OFFLINE, CourierState.ONLINE}:
            lines.append(ctx.t("“online” and “offline” say whether you want trips, “earnings” shows what you earned."))
        ctx.say("\n".join(lines))

    @dialog
    async def courier_signs_up(self, d: Dialog) -> None:
        """Who they are and what they go by; then the operator is asked."""
        name = await d.ask(d.t("By which name shall buyers and merchants know you?"), parse=_reader(NAME_MAX))
        vehicle = await d.ask(d.t("What do you go by? For example: bicycle, red scooter"), parse=_reader(VEHICLE_MAX))
        if not await d.confirm(d.t("{name}, {vehicle}. Shall I ask whether you may bring orders?", name=name,
                                   vehicle=vehicle)):  # fmt: skip
            await d.end(d.t("Then not."))
        await d.do("apply", self._courier_applies, name, vehicle)
        await d.say(d.t("I have asked. I tell you as soon as somebody has decided."))

    async def _courier_applies(self, ctx: Context, name: str, vehicle: str) -> None:
        before, now = await self.pool.courier(ctx, ctx.sender), ctx.now()
        if before is None:
            self.pool.apply(ctx, Courier(ctx.sender, name, vehicle, ctx.room_id, CourierState.APPLIED, now, now))
        elif before.state is CourierState.REJECTED:
            again = self.pool.change_courier(
                ctx, before, replace(before, name=name, vehicle=vehicle, room_id=ctx.room_id)
            )
            self.pool.act(ctx, again, CourierAction.APPLY_AGAIN)
        else:
            return
        await self.ask_operators(ctx, name, vehicle)

    # Online and offline

    @command("online", help=_("Be offered trips"))
    async def go_online(self, ctx: Context) -> None:
        """Be offered trips from now on."""
        await self._courier_turns(ctx, CourierAction.GO_ONLINE)

    @command("offline", help=_("Be offered no more trips"))
    async def go_offline(self, ctx: Context) -> None:
        """Be offered no more trips. One that you have is still yours to bring."""
        await self._courier_turns(ctx, CourierAction.GO_OFFLINE)

    async def _courier_turns(self, ctx: Context, action: CourierAction) -> None:
        courier = await self._as_courier(ctx)
        if courier is None:
            return
        online = action is CourierAction.GO_ONLINE
        if (courier.state is CourierState.ONLINE) is not online or courier.state not in {
            CourierState.ONLINE,
            CourierState.OFFLINE,
        }:
            try:
                if online:  # who comes is behind those who wait
                    courier = self.pool.change_courier(
                        ctx, courier, replace(courier, room_id=ctx.room_id, asked_at=ctx.now())
                    )
                self.pool.act(ctx, courier, action)
            except CourierError as error:
                ctx.discard()
                ctx.say(texts.sentence(ctx.translator, error))
                return
        if online:
            ctx.say(ctx.t("You are online. I offer you trips here, one at a time."))
        elif courier.job:
            ctx.say(ctx.t("You get no more offers. The trip that you have is still yours: “trip” shows it."))
        else:
            ctx.say(ctx.t("You are offline."))

    async def _as_courier(self, ctx: Context) -> Courier | None:
        """The person as a courier, in their own chat; otherwise None, and they are told."""
        if not await alone(ctx):
            ctx.say(ctx.t("Couriers talk with me in an encrypted chat of our own."))
            return None
        if self.couriers_elsewhere(ctx):
            return None
        courier = await self.pool.courier(ctx, ctx.sender)
        if courier is None:
            ctx.say(ctx.t("You are no courier yet: write “courier” to become one."))
        return courier

    # Offers

    @timer(OFFER)
    async def trip_offered(self, ctx: Context, data: dict[str, Any]) -> None:
        """Offer a trip, in the courier's own chat."""
        job = await self._trip_offered_to(ctx, data["trip"], data["offer"])
        if job is not None:
            ctx.start(self.answer_offer, job.id, job.offers)

    async def _trip_offered_to(self, ctx: Context, job_id: str, offer: int) -> CourierJob | None:
        job = await self.pool.job(ctx, job_id)
        mine = job is not None and job.courier == ctx.sender and job.offers == offer
        return job if mine and job is not None and job.state is JobState.OFFERED else None

    @dialog
    async def answer_offer(self, d: Dialog, job_id: str, offer: int) -> None:
        """Whether a courier takes a trip, and then the trip."""
        text = await d.do("offer", self._trip_offer, job_id, offer)
        if not text:
            return
        options = [
            Option("take", d.t("I take it"), key="👍"),
            Option("pass", d.t("Not this one"), key="👎"),
        ]
        taken = (await d.choose(text, options, timeout=self.offered_for)).value == "take"
        refused = await d.do("answer", self._trip_answered, job_id, offer, taken)
        if refused:
            await d.end(refused)
        if not taken:
            await d.end(d.t("I ask somebody else."))
        await self._along_trip(d, job_id)

    async def _trip_offer(self, ctx: Context, job_id: str, offer: int) -> str:
        job = await self._trip_offered_to(ctx, job_id, offer)
        return "" if job is None else texts.offered(ctx.translator, job, int(self.offered_for.total_seconds()))

    async def _trip_answered(self, ctx: Context, job_id: str, offer: int, taken: bool) -> str:
        try:
            if taken:
                await self.pool.accept(ctx, job_id, offer, ctx.sender)
            else:
                await self.pool.decline(ctx, job_id, offer, ctx.sender)
        except CourierError as error:
            return texts.sentence(ctx.translator, error)
        return ""

    # The way

    @command("trip", help=_("Show the trip that you have"))
    async def trip(self, ctx: Context) -> None:
        """Show what you are bringing, and go on with it."""
        courier = await self._as_courier(ctx)
        if courier is None:
            return
        if not courier.job:
            ctx.say(ctx.t("You have no trip."))
        else:
            ctx.start(self.go_along, courier.job)

    @dialog
    async def go_along(self, d: Dialog, job_id: str) -> None:
        """A trip from where it stands to its end."""
        await self._along_trip(d, job_id)

    async def _along_trip(self, d: Dialog, job_id: str) -> None:
        while True:
            await d.look("stored", _nothing)  # what was done is in the database before it is read there
            way = await d.do("way", self._trip_way, job_id)
            if way.stage == "over":
                await d.end(way.text)
            step = await d.choose(way.text, self._trip_steps(d, way.stage))
            said = ""
            if step.value in {"fetched", "brought"}:
                said = await d.ask(d.t("Which four digits have they told you?"))
            elif step.value == "photo":
                refusal = await d.do("may leave", self._trip_may_leave, job_id)
                if refusal:
                    await d.say(refusal)
                    continue
                sent = await d.ask(d.t("Please send the photo."), parse=Said)
                job_id = await self._trip_by_photo(d, job_id, sent.attachment)
                continue
            elif step.value == "failed":
                why = await d.choose(
                    d.t("What is the matter?"), {d.t(words): words for words in texts.FAILURES.values()}
                )
                said = why
            after = await d.do(step.value, self._trip_step, job_id, step.value, said)
            if after.text:
                await d.say(after.text)
            if after.stage == "end":
                await d.end()
            job_id = after.stage or job_id

    def _trip_steps(self, d: Dialog, stage: str) -> list[Option]:
        if stage == "taken":
            return [
                Option("fetched", d.t("I have it"), key="📦"),
                Option("give up", d.t("I cannot fetch it"), key="🚫"),
            ]
        if stage == "back":
            return [Option("brought", d.t("I have brought it back"), key="✅")]
        return [
            Option("brought", d.t("They tell me the PIN"), key="✅"),
            Option("waits", d.t("Nobody comes to the door"), key="🚪"),
            Option("photo", d.t("I leave it there, with a photo"), key="📷"),
            Option("failed", d.t("I cannot hand it over"), key="🚫"),
        ]

    async def _trip_way(self, ctx: Context, job_id: str) -> Way:
        job = await self.pool.job(ctx, job_id)
        if job is None or job.courier != ctx.sender or job.state not in HAS_COURIER:
            return Way(ctx.t("This trip is over."), "over")
        stage = "taken" if job.state is JobState.TAKEN else "back" if job.kind is JobKind.RETURN else "carried"
        return Way(texts.on_the_way(ctx.translator, job), stage)

    async def _trip_step(self, ctx: Context, job_id: str, step: str, said: str) -> Way:
        """What a courier says that they did: what they hear, and the trip that they go on with (``end``: none)."""
        say, person = ctx.translator, ctx.sender
        try:
            if step == "give up":
                await self.pool.give_up(ctx, job_id, person)
                return Way(ctx.t("Somebody else brings it."), "end")
            if step == "failed":
                back = await self.pool.fail(ctx, job_id, person, said)
                return Way(ctx.t("I have told them. It goes back to where it came from."), back.id)
            if step == "waits":
                await self.pool.nobody_comes(ctx, job_id, person)
                minutes = self.pool.door // timedelta(minutes=1)
                told = ctx.n(
                    "I have told them that you are there. If nobody comes, you may leave it with a photo in {count} "
                    "minute.",
                    "I have told them that you are there. If nobody comes, you may leave it with a photo in {count} "
                    "minutes.",
                    minutes,
                )
                return Way(told, "")
            tell = self.pool.say_code if step == "fetched" else self.pool.say_pin
            after = await tell(ctx, job_id, person, typed_digits(said))
        except CourierError as error:
            return Way(texts.sentence(say, error), "")
        if after is None:
            return Way(ctx.t("That is not it. Please ask again."), "")
        if step == "fetched":
            return Way(ctx.t("You have it. On your way!"), "")
        return Way(self._trip_earned(ctx, after), "end")

    def _trip_earned(self, ctx: Context, job: CourierJob) -> str:
        if not job.earned:
            return ctx.t("Done, thank you.")
        return ctx.t("Done, thank you. You have earned {amount}.", amount=job.earned)

    async def _trip_may_leave(self, ctx: Context, job_id: str) -> str:
        """Why a photo does not count now; nothing when it does."""
        try:
            await self.pool.may_leave(ctx, job_id, ctx.sender)
        except CourierError as error:
            return texts.sentence(ctx.translator, error)
        return ""

    async def _trip_by_photo(self, d: Dialog, job_id: str, photo: Attachment | None) -> str:
        if photo is None or photo.kind != "image":
            await d.say(d.t("That is no photo."))
            return job_id
        after = await d.do("photo", self._trip_photo, job_id, photo)
        await d.say(after.text)
        if after.stage == "end":
            await d.end()
        return job_id

    async def _trip_photo(self, ctx: Context, job_id: str, photo: Attachment) -> Way:
        try:
            job = await self.pool.show_photo(ctx, job_id, ctx.sender)
        except CourierError as error:
            return Way(texts.sentence(ctx.translator, error), "")
        await self.photo_left(ctx, job, photo)
        return Way(self._trip_earned(ctx, job), "end")

    async def photo_left(self, ctx: Context, job: CourierJob, photo: Attachment) -> None:
        """Show the buyer where it was left: for the plugin, which knows the buyer."""
        raise NotImplementedError

    @timer(TAKEN_AWAY)
    async def trip_withdrawn(self, ctx: Context, data: dict[str, Any]) -> None:
        """Tell a courier that they need not go on."""
        job = await self.pool.job(ctx, data["trip"])
        if job is not None:
            words = ctx.t("Order {number} of {seller} need not be brought any more.", number=job.number,
                          seller=job.seller)  # fmt: skip
            ctx.say(words, notice=False)

    @timer(CHANGED)
    async def trip_changed(self, ctx: Context, data: dict[str, Any]) -> None:
        """The merchant has said something of a trip: show its courier what there is to do now."""
        courier = await self.pool.courier(ctx, ctx.sender)
        if courier is not None and courier.job:
            ctx.start(self.go_along, courier.job)
        else:
            ctx.say(ctx.t("The merchant says that you have done it. Thank you!"))

    # What they earn

    @command("earnings", help=_("What you have earned by bringing"))
    async def earnings(self, ctx: Context) -> None:
        """What you have earned today and in all, and your last trips."""
        if await self._as_courier(ctx) is None:
            return
        jobs = await self.pool.trips_of(ctx, ctx.sender, SUMMED_MOST)
        if not jobs:
            ctx.say(ctx.t("You have brought nothing yet."))
            return
        today = ctx.now().date()
        of_today = [job for job in jobs if job.updated_at.astimezone(ctx.now().tzinfo).date() == today]
        lines = [ctx.t("Today: {amounts}", amounts=texts.sums(of_today))] if of_today else []
        lines.append(ctx.n("{count} trip: {amounts}", "{count} trips: {amounts}", len(jobs), amounts=texts.sums(jobs)))
        lines += [texts.summary(ctx.translator, job) for job in jobs[:EARNED_MOST]]
        if any(job.owed for job in jobs):
            lines.append(ctx.t("Some of it is still on its way to your wallet."))
        ctx.say("\n".join(lines))

    # The search

    @timer(SEARCH)
    async def search_courier(self, ctx: Context, data: dict[str, Any]) -> None:
        """Ask the next courier."""
        await self.pool.search(ctx, data["trip"])

    @timer(LAPSE)
    async def lapse_offer(self, ctx: Context, data: dict[str, Any]) -> None:
        """An offer was not answered."""
        await self.pool.lapse(ctx, data["trip"], data["offer"])


def _nothing() -> None:
    """A look has what was done before it committed."""


def _reader(most: int) -> Any:
    def read(text: str) -> str:
        words = " ".join(text.split())
        if not 1 <= len(words) <= most or not words.isprintable():
            raise InvalidValue("courier.words", _("Up to {most} letters, please."), clear=True, most=most)
        return words

    return read
