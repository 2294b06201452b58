"""The page that sets a PIN, and the field that asks for one on other pages."""

from __future__ import annotations

from bots.pages import Button, Field, FieldKind, Form, HostedPage, Mark, Page, Visit
from bots.payments.pin_rules import LONGEST, SHORTEST, PinRefused, digits_of
from bots.payments.pins import SET_PURPOSE, PinOutcome, Pins, PinsBusy, PinState

PIN = "pin"


def pin_field(visit: Visit, error: str = "") -> Field:
    """Asks for the person's PIN."""
    return Field(PIN, visit.t("Your PIN"), FieldKind.PIN, error=error)


def missed(visit: Visit, outcome: PinOutcome) -> str:
    """What is wrong with a PIN that is not the right one and does not lock yet."""
    return visit.words.n(
        "This is not your PIN. {count} attempt is left.",
        "This is not your PIN. {count} attempts are left.",
        outcome.left,
    )


def locked_page(visit: Visit, until: int) -> Page:
    """Too many wrong ones."""
    return Page(
        visit.t("Your PIN is locked"),
        visit.t("It was entered wrongly too often. You can try again at {time}.", time=visit.moment(until)),
        mark=Mark.STOPPED,
        closing=visit.t("If that was not you, write “freeze” to the wallet: nobody can pay with it then."),
        status=429,
        retry_after=max((until - visit.now) // 1000, 1),
    )


def no_pin_page(visit: Visit) -> Page:
    """There is no PIN to compare with."""
    return Page(
        visit.t("You have no PIN yet"),
        visit.t("Write “pin” to the wallet: it sends you a link to the page where you choose one."),
        mark=Mark.STOPPED,
        closing=visit.t(
            "Then open this page again; its link stays good until {time}.", time=visit.moment(visit.expires_at)
        ),
        status=409,
    )


def busy_page(visit: Visit) -> Page:
    """Too many people at once."""
    return Page(
        visit.t("Not available right now"),
        visit.t("Too many people are here at the moment. Nothing has happened; please try again in a few seconds."),
        mark=Mark.WAITING,
        status=503,
        retry_after=5,
    )


async def ask(pins: Pins, visit: Visit, form: Form, field: str = PIN) -> Page | str | None:
    """Compare the PIN of a form: None when it is right, the words of an error at the field, or a page that ends it."""
    if not digits_of(form[field]):
        return visit.t("Enter your PIN.")
    try:
        outcome = await pins.verify(visit.person, form[field])
    except PinsBusy:
        return busy_page(visit)
    if outcome.state is PinState.LOCKED:
        return locked_page(visit, outcome.until)
    if outcome.state is PinState.NOT_SET:
        return no_pin_page(visit)
    return None if outcome.ok else missed(visit, outcome)


class SetPin(HostedPage):
    """Sets a PIN, or changes it."""

    purpose = SET_PURPOSE

    def __init__(self, pins: Pins) -> None:
        self._pins = pins

    async def show(self, visit: Visit) -> Page:
        return self._form(visit, await self._pins.has(visit.person))

    async def submit(self, visit: Visit, form: Form) -> Page:
        change = await self._pins.has(visit.person)
        errors = {}
        if change and not digits_of(form["old"]):
            errors["old"] = visit.t("Enter your PIN.")
        if digits_of(form["new"]) != digits_of(form["again"]):
            errors["again"] = visit.t("The two are not the same.")
        try:
            self._pins.check(visit.person, form["new"])
        except PinRefused as refused:
            errors = {
                "new": visit.t(refused.msgid, **refused.values),
                **{k: v for k, v in errors.items() if k == "old"},
            }
        if errors:
            return self._form(visit, change, errors)
        # Last: what is wrong with the new one must not cost an attempt.
        if change and (answer := await ask(self._pins, visit, form, "old")) is not None:
            return answer if isinstance(answer, Page) else self._form(visit, change, {"old": answer})
        try:
            await self._pins.set(visit.person, form["new"], visit.redeem)
        except PinsBusy:
            return busy_page(visit)
        return _done(visit)

    async def over(self, visit: Visit) -> Page | None:
        return _done(visit)

    @staticmethod
    def _form(visit: Visit, change: bool, errors: dict[str, str] | None = None) -> Page:
        wrong = errors or {}
        hint = visit.t(
            "{shortest} to {longest} digits, and none that others would try first.", shortest=SHORTEST, longest=LONGEST
        )
        fields = [
            Field("new", visit.t("New PIN"), FieldKind.PIN, hint=hint, error=wrong.get("new", "")),
            Field("again", visit.t("The same again"), FieldKind.PIN, error=wrong.get("again", "")),
        ]
        if change:
            fields.insert(0, Field("old", visit.t("Your PIN until now"), FieldKind.PIN, error=wrong.get("old", "")))
        return Page(
            visit.t("Change your PIN") if change else visit.t("Choose your PIN"),
            visit.t("Your PIN confirms large payments, on a page like this one and nowhere else."),
            fields=fields,
            buttons=[Button("set", visit.t("Change PIN") if change else visit.t("Set PIN"))],
            closing=visit.t(
                "For {person}. This page is open until {time}.",
                person=visit.person,
                time=visit.moment(visit.expires_at),
            ),
            status=422 if wrong else 200,
        )


def _done(visit: Visit) -> Page:
    return Page(
        visit.t("Your PIN is set"),
        visit.t("From now on large payments ask for it. Tell it to nobody."),
        mark=Mark.DONE,
        closing=visit.t("You can close this page and go back to your chat."),
    )
