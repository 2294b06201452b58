"""Signing up to drive: who, with what, for which classes, and the documents that the operator looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final

from bots.domain.drivers import NAME_MAX, SEATS_MAX, TEXT_MAX, Document, Driver, DriverError, DriverState, Vehicle
from bots.domain.drivers import WORDS as DRIVER_WORDS
from bots.framework import Context, Dialog, InvalidValue, Option, RateLimit, Said, command, cron, dialog
from bots.framework.i18n import _
from bots.framework.own_chat import alone
from bots.rides.driving.base import APPROVED, utc
from bots.rides.driving.duty import Duty
from bots.rides.driving.settings import DocumentKind
from bots.rides.riding.texts import sentence

__all__ = ["SignUp"]

SIGN_UPS: Final = RateLimit(10, per=3600)
PAGE_MAX: Final = 500
"""Drivers whose documents are looked at, at once."""
VALID_FOR: Final = timedelta(days=1)
"""A document is taken when it is valid for so long yet."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A document as a dialog keeps it."""

    kind: str
    content: dict[str, Any]
    expires: date | None


class SignUp(Duty):
    """Becoming a driver, for the plugin to inherit."""

    @command("drive", help=_("Drive people or bring things, and earn"), aliases=("driver", "become a driver"),
             limit=SIGN_UPS)  # fmt: skip
    async def drive(self, ctx: Context) -> None:
        """Become a driver or courier, or see where you stand as one."""
        if not await alone(ctx):
            ctx.say(ctx.t("Please write “drive” to me in an encrypted chat of our own."))
            return
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if driver is None or driver.state is DriverState.REJECTED:
            if driver is not None and driver.reason:
                ctx.say(ctx.t("You were not accepted: {reason}. You can apply again.", reason=driver.reason))
            ctx.start(self.signing_up)
            return
        lines = [ctx.t("You are a driver: {state}.", state=ctx.t(DRIVER_WORDS[driver.state]))]
        if driver.rating is not None:
            lines.append(ctx.t("Riders give you {stars}.", stars=f"★ {driver.rating:.1f}"))
        if driver.trip:
            lines.append(ctx.t("You have a trip: “job” shows it."))
        if driver.state in APPROVED:
            lines.append(
                ctx.t(
                    "“online”, “break” and “offline” say whether you want trips, “busy” where they are, “areas” in "
                    "which zones you want them. “earnings” shows what you earned, “documents” renews your papers, “app "
                    "token” connects an app."
                )
            )
        ctx.say("\n".join(lines))

    @dialog(version="1")
    async def signing_up(self, d: Dialog) -> None:
        """All that the operator has to know; then they are asked."""
        name = await d.ask(d.t("By which name shall riders know you?"), parse=_reader(NAME_MAX))
        services = await self._ask_services(d)
        vehicle = await self._ask_vehicle(d)
        papers = await self._ask_papers(d, await d.do("needed", self._needed, services))
        words = d.t(
            "{name}, {colour} {make}, {plate}. Shall I ask whether you may drive?",
            name=name,
            colour=vehicle.colour,
            make=vehicle.make,
            plate=vehicle.plate,
        )
        if not await d.confirm(words):
            await d.end(d.t("Then not."))
        await d.say(await d.do("apply", self._applies, name, services, vehicle, papers))

    async def _ask_services(self, d: Dialog) -> list[str]:
        classes = await d.do("classes", self._classes)
        options = [Option(name, label) for name, label in classes]
        chosen = await d.choose_many(d.t("For which classes do you want to drive?"), options)
        return [each.value for each in chosen]

    async def _classes(self, ctx: Context) -> list[tuple[str, str]]:
        found = []
        for each in self.fleet.tariff.classes.values():
            label = each.label
            if not each.courier:
                label += " " + ctx.n("({count} seat)", "({count} seats)", each.seats)
            found.append((each.name, label))
        return found

    async def _ask_vehicle(self, d: Dialog) -> Vehicle:
        make = await d.ask(d.t("What do you drive? For example: Toyota Prius, cargo bike"), parse=_reader(TEXT_MAX))
        colour = await d.ask(d.t("Which colour is it?"), parse=_reader(TEXT_MAX))
        plate = await d.ask(d.t("What is on its plate? A bike without one: something to know it by."),
                            parse=_reader(TEXT_MAX))  # fmt: skip
        seats = await d.ask(d.t("How many seats are there for others? 0: you bring things only."), parse=int,
                            validate=_seats)  # fmt: skip
        return Vehicle(make, colour, plate, seats)

    async def _ask_papers(self, d: Dialog, kinds: Sequence[DocumentKind]) -> list[Paper]:
        papers = []
        for kind in kinds:
            document = d.t(kind.words)
            sent = await d.ask(d.t("Please send a photo of this document: {document}. Only the operator sees it.",
                                   document=document), parse=Said)  # fmt: skip
            while sent.attachment is None or sent.attachment.kind not in {"image", "file"}:
                sent = await d.ask(d.t("That is no photo. Please send one, or type “cancel”."), parse=Said)
            expires = None
            if kind.expires:
                today = (await d.now()).date()
                expires = await d.ask(
                    d.t("Until which day is it valid ({document})?", document=document),
                    parse=date,
                    validate=_valid(today),
                )
            papers.append(Paper(kind.name, kept(sent.content), expires))
        return papers

    async def _needed(self, ctx: Context, services: list[str]) -> list[DocumentKind]:
        classes = self.fleet.tariff.classes
        return self.driving.needed(people=any(not classes[each].courier for each in services if each in classes))

    async def _applies(
        self, ctx: Context, name: str, services: list[str], vehicle: Vehicle, papers: list[Paper]
    ) -> str:
        before, now = await self.fleet.drivers.get(ctx, ctx.sender), utc(ctx)
        if before is not None and before.state is not DriverState.REJECTED:
            return ctx.t("You are a driver: {state}.", state=ctx.t(DRIVER_WORDS[before.state]))
        classes = self.fleet.tariff.classes
        fit = [each for each in services if each in classes and classes[each].seats <= vehicle.seats]
        if not fit:
            return ctx.t("Your car has too few seats for these classes. Please begin again: “drive”.")
        driver = Driver(
            person=ctx.sender,
            name=name,
            vehicle=vehicle,
            services=frozenset(fit),
            room_id=ctx.room_id,
            state=DriverState.APPLIED,
            applied_at=now,
            idle_since=now,
            documents=tuple(Document(each.kind, each.content, each.expires) for each in papers),
        )
        if before is not None:
            driver = replace(driver, ratings=before.ratings, stars=before.stars, revision=before.revision)
        try:
            await self.fleet.drivers.apply(ctx, driver)
        except DriverError as error:
            return sentence(ctx.translator, error)
        return ctx.t("I have asked. I tell you as soon as somebody has decided.")

    # Documents

    @command("documents", help=_("Drivers: show new documents"), hidden=True, limit=SIGN_UPS)
    async def renew_documents(self, ctx: Context) -> None:
        """Show your documents anew, before they expire."""
        driver = await self.as_driver(ctx)
        if driver is None:
            return
        kinds = self.driving.needed(people=self.people_of(driver))
        if not kinds:
            ctx.say(ctx.t("No documents are asked for."))
            return
        ctx.start(self.renewing, [self._document_line(ctx, driver, each) for each in kinds])

    def _document_line(self, ctx: Context, driver: Driver, kind: DocumentKind) -> tuple[str, str]:
        have = next((each for each in driver.documents if each.kind == kind.name), None)
        words = ctx.t(kind.words)
        if have is not None and have.expires is not None:
            at = datetime(have.expires.year, have.expires.month, have.expires.day, tzinfo=ctx.now().tzinfo)
            return kind.name, ctx.t("{document}, valid until {date}", document=words, date=at.date())
        return kind.name, words

    @dialog
    async def renewing(self, d: Dialog, kinds: list[tuple[str, str]]) -> None:
        """Which document, and the new one."""
        chosen = await d.choose(d.t("Which document?"), [Option(name, label) for name, label in kinds])
        kind = next((each for each in self.driving.documents if each.name == chosen.value), None)
        if kind is None:
            await d.end(d.t("No documents are asked for."))
        papers = await self._ask_papers(d, [kind])
        await d.say(await d.do("renew", self._renews, papers[0]))

    async def _renews(self, ctx: Context, paper: Paper) -> str:
        driver = await self.fleet.drivers.get(ctx, ctx.sender)
        if driver is None:
            return ctx.t("You are no driver yet: write “drive” to become one.")
        others = tuple(each for each in driver.documents if each.kind != paper.kind)
        documents = (*others, Document(paper.kind, paper.content, paper.expires))
        await self.fleet.drivers.change(ctx, driver, documents=documents)
        person, kind = driver.person, paper.kind
        await self.tell_operators(
            ctx,
            lambda say: say.t(
                "{person} shows a new document: {document}. “drivers show {person}” shows it.",
                person=person,
                document=self.document_words(say, kind),
            ),
        )
        return ctx.t("Thank you. The operator can see it.")

    @cron("0 7 * * *")
    async def look_at_documents(self, ctx: Context) -> None:
        """Remind of documents that expire soon; whose have expired is set offline."""
        after = ""
        while True:
            found = await self.fleet.drivers.in_states(ctx, APPROVED, PAGE_MAX, after)
            for driver in found:
                await self._look_at(ctx, driver)
            if len(found) < PAGE_MAX:
                return
            after = found[-1].person

    async def _look_at(self, ctx: Context, driver: Driver) -> None:
        today = (await self.driver_now(ctx, driver.person)).date()
        say = await self.driver_words(ctx, driver.person)
        gone = [each for each in driver.documents if each.expires is not None and each.expires < today]
        if gone:
            if driver.state is not DriverState.OFFLINE and not driver.trip:
                await self.fleet.drivers.go_offline(ctx, driver)
                names = ", ".join(self.document_words(say, each.kind) for each in gone)
                words = say.t(
                    "This is not valid any more: {documents}. “documents” shows me the new one.", documents=names
                )
                ctx.say(words, room_id=driver.room_id, notice=False)
            return
        for each in driver.documents:
            left = None if each.expires is None else (each.expires - today).days
            # Once at the beginning, once a week before, and once on the day before.
            if left is not None and left in {self.driving.remind_days, 7, 1} and left <= self.driving.remind_days:
                words = say.n(
                    "Your document expires in {count} day: {document}. “documents” shows me the new one.",
                    "Your document expires in {count} days: {document}. “documents” shows me the new one.",
                    left,
                    document=self.document_words(say, each.kind),
                )
                ctx.say(words, room_id=driver.room_id, notice=False)


def kept(content: Any) -> dict[str, Any]:
    """What of a file's message is kept: where it lies, its key, its type. No words of who sent it."""
    found = {key: content[key] for key in ("msgtype", "url", "file", "info", "filename") if key in content}
    return {**found, "body": "document"}


def _reader(most: int) -> Any:
    def read(text: str) -> str:
        words = " ".join(text.split())
        if not 1 <= len(words) <= most or not words.isprintable():
            raise InvalidValue("driving.words", _("Up to {most} letters, please."), clear=True, most=most)
        return words

    return read


def _seats(seats: int) -> None:
    if not 0 <= seats <= SEATS_MAX:
        raise InvalidValue("driving.seats", DriverError.messages["driver.seats"], clear=True, most=SEATS_MAX)


def _valid(today: date) -> Any:
    def check(day: date) -> None:
        if day < today + VALID_FOR:
            raise InvalidValue("driving.expired", _("It has to be valid for some time yet."), clear=True)

    return check
