"""Commands that every bot knows: the person's language and time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from bots.framework.arguments import Rest, Signature
from bots.framework.commands import CommandEntry
from bots.framework.context import Context
from bots.framework.i18n import FRAMEWORK, _, display_name, parse_language, parse_zone

OWNER = "builtin"


class Builtin:
    """What a person says of themselves holds for every bot."""

    async def language(self, ctx: Context, language: Rest = "") -> None:
        """Show or set the language that bots speak with you."""
        catalogues = ctx.services.catalogues
        known = sorted(catalogues.languages(FRAMEWORK) | {"en"})
        if not language.strip():
            now = display_name(ctx.translator.language, ctx.translator.language)
            names = ", ".join(display_name(tag, tag) for tag in known)
            ctx.say(ctx.t("I speak {language} with you. I also know: {names}.", language=now, names=names))
            return
        tag = parse_language(language)
        if tag is None:
            names = ", ".join(display_name(each, each) for each in known)
            ctx.say(ctx.t("I do not know the language “{given}”. I know: {names}.", given=language[:40], names=names))
            return
        ctx.services.people.set_language(ctx.unit, ctx.sender, tag)
        translator = catalogues.translator(tag)
        name = display_name(tag, tag)
        if catalogues.choose([tag]) == tag.partition("-")[0] or catalogues.choose([tag]) == tag:
            ctx.say(translator.t("From now on I speak {language} with you.", language=name))
        else:
            ctx.say(ctx.t("I note that you read {language}, but my own texts are not in it yet.", language=name))

    async def zone(self, ctx: Context, zone: Rest = "") -> None:
        """Show or set your time zone, by the name of a city near you."""
        if not zone.strip():
            ctx.say(ctx.t("Your time zone is {zone}; it is {time} there.", zone=ctx.zone, time=f"{ctx.now():%H:%M}"))
            return
        answer = parse_zone(zone, ctx.translator.language)
        if answer.zone is None:
            if answer.nearest:
                ctx.say(ctx.t("Which one do you mean: {zones}?", zones=", ".join(answer.nearest[:5])))
            else:
                ctx.say(ctx.t("I do not know the time zone “{given}”. Name a city, such as Berlin.", given=zone[:40]))
            return
        ctx.services.people.set_zone(ctx.unit, ctx.sender, answer.zone)
        now = datetime.fromtimestamp(ctx.now_ms() / 1000, UTC).astimezone(ZoneInfo(answer.zone))
        words = ctx.t("Your time zone is {zone}; it is {time} there.", zone=answer.zone, time=f"{now:%H:%M}")
        if answer.fixed:
            words += " " + ctx.t("It does not know summer time; name a city if yours does.")
        ctx.say(words)


def entries() -> list[CommandEntry]:
    """The commands, for the table of a bot."""
    builtin = Builtin()
    return [
        CommandEntry(
            "language",
            _("Set the language that bots speak with you"),
            Signature.of(builtin.language),
            builtin.language,
            OWNER,
        ),
        CommandEntry("zone", _("Set your time zone"), Signature.of(builtin.zone), builtin.zone, OWNER),
    ]
