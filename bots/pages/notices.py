"""Pages that say why there is no page."""

from __future__ import annotations

import math

from bots.framework.i18n import Translation
from bots.framework.limits import Limited
from bots.pages.forms import FormRefused
from bots.pages.links import LinkInvalid
from bots.pages.page import Mark, Page


def invalid(error: LinkInvalid, words: Translation) -> Page:
    """A link that opens nothing."""
    if error.why == "used":
        return Page(
            words.t("This link has been used"),
            words.t("Every link works once, so that nobody can use it after you."),
            mark=Mark.STOPPED,
            closing=words.t("Ask for a new one in your chat if there is something left to do."),
            status=410,
        )
    if error.why == "expired":
        return Page(
            words.t("This link has expired"),
            words.t("Links are good for a short time only, and a newer one replaces those before it."),
            mark=Mark.STOPPED,
            closing=words.t("Go back to your chat and ask for a new one."),
            status=410,
        )
    return Page(
        words.t("This link does not exist"),
        words.t("Maybe it was copied without its end. Open it from your chat as it stands there."),
        mark=Mark.STOPPED,
        closing=words.t("If somebody else has sent it to you: Rialto has not made it."),
        status=404,
    )


def refused(error: FormRefused, words: Translation) -> Page:
    """A form that was not taken."""
    if error.code == "no_cookie":
        return Page(
            words.t("Your browser did not send its cookie"),
            words.t(
                "This page needs one cookie to know that it was you who opened it. Allow cookies for this site, open"
                " the link from your chat again, and send the form within the same browser."
            ),
            mark=Mark.STOPPED,
            status=error.status,
        )
    return Page(
        words.t("That could not be taken"),
        words.t("What arrived was not sent by the page behind your link. Nothing has happened."),
        mark=Mark.STOPPED,
        closing=words.t("Open the link from your chat again, and use the form there."),
        status=error.status,
    )


def limited(verdict: Limited, words: Translation) -> Page:
    """Too often."""
    return Page(
        words.t("Too many attempts"),
        verdict.explain(words),
        mark=Mark.WAITING,
        status=429,
        retry_after=math.ceil(verdict.retry_after),
    )


def unavailable(words: Translation) -> Page:
    """The database is gone."""
    return Page(
        words.t("Not available right now"),
        words.t("Something on our side does not answer. Please open the link again in a moment."),
        mark=Mark.WAITING,
        closing=words.t("If you sent a form, look into your chat first: it may have gone through."),
        status=503,
        retry_after=5,
    )
