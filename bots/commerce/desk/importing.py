"""The catalogue as a file: sent to the staff room, shown what it would do, applied, taken back, given out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from appservice.media import MediaError, MediaMissing, MediaTooLarge
from bots.commerce.desk.base import DeskBase
from bots.commerce.desk.pictures import said_size
from bots.commerce.importing import ImportPlan, Problem
from bots.commerce.importing.reading import CSV_MAX, YAML_MAX
from bots.domain.merchants import Merchant, Staff
from bots.framework import Context, Dialog, command, dialog
from bots.framework.i18n import Translator, _

BYTES_MAX: Final = max(CSV_MAX, YAML_MAX)
ENDS: Final = frozenset({"csv", "tsv", "txt", "yaml", "yml"})
NAMED_MAX: Final = 10
"""Products of each kind that a summary names."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a file would do, as somebody has seen it. ``digest``: another one when it would do something else."""

    text: str
    digest: str
    possible: bool


class Importing(DeskBase):
    """Files with the catalogue, for the plugin to inherit."""

    async def desk_file(self, ctx: Context, merchant: Merchant) -> bool:
        """A file in the staff room: whether it was a catalogue."""
        name = file_name(ctx.content)
        if name.casefold().rpartition(".")[2] not in ENDS:
            return False
        if await self.at_desk(ctx, Staff.MANAGER) is None:
            return True
        size = said_size(ctx.content)
        if size is not None and size > BYTES_MAX:
            ctx.say(too_large(ctx.translator))
            return True
        ctx.start(self.desk_import, merchant.id, dict(ctx.content))
        return True

    @dialog(timeout=timedelta(minutes=30))
    async def desk_import(self, d: Dialog, merchant_id: str, content: dict[str, Any]) -> None:
        """What the file would do, and whether it shall."""
        shown = await d.do("plan", self._desk_look_at, merchant_id, content)
        while True:
            if not shown.possible:
                await d.end(shown.text)
            options = {d.t("Do it"): True, d.t("Leave it"): False}
            if not await d.choose(f"{shown.text}\n\n{d.t('Shall I?')}", options):
                await d.end(d.t("Nothing was changed."))
            again = await d.do("apply", self._desk_apply_import, merchant_id, content, shown.digest)
            if again is None:
                await d.end(d.t("Done. “undo import” takes it back."))
            await d.say(d.t("The catalogue has changed meanwhile. This is what the file would do now:"))
            shown = again

    async def _desk_look_at(self, ctx: Context, merchant_id: str, content: Mapping[str, Any]) -> Shown:
        try:
            plan = await self._desk_planned(ctx, merchant_id, content)
        except MediaTooLarge:
            return Shown(too_large(ctx.translator), "", False)
        except MediaMissing:
            return Shown(ctx.t("The file is not there any more. Please send it again."), "", False)
        except MediaError:
            return Shown(ctx.t("The file cannot be read. Please send it again."), "", False)
        return shown_plan(plan, ctx.translator)

    async def _desk_planned(self, ctx: Context, merchant_id: str, content: Mapping[str, Any]) -> ImportPlan:
        data = await ctx.services.media.download(ctx.user_id, content, limit=BYTES_MAX)
        return await self.desk.shelf.plan_import(ctx, merchant_id, data, file_name(content))

    async def _desk_apply_import(
        self, ctx: Context, merchant_id: str, content: Mapping[str, Any], digest: str
    ) -> Shown | None:
        """Do it if it is what was shown; otherwise what it would do now. Planned in the handler that applies it, so
        that nothing comes in between."""
        merchant = await self.desk.sellers.get(ctx, merchant_id)
        if merchant is None or not await self.desk_may(ctx, merchant, ctx.sender, Staff.MANAGER):
            return Shown(ctx.t("There is no such merchant any more."), "", False)
        shown = await self._desk_look_at(ctx, merchant_id, content)
        if not shown.possible or shown.digest != digest:
            return shown
        plan = await self._desk_planned(ctx, merchant_id, content)
        await self.desk.shelf.apply_import(ctx, merchant_id, plan)
        self.desk_audited(
            ctx, "merchant.import", f"merchant:{merchant_id}", "done", added=len(plan.added),
            changed=len(plan.changed), removed=len(plan.removed),
        )  # fmt: skip
        return None

    @command("undo import", help=_("Staff room: take the last import back"), hidden=True)
    async def desk_undo_import(self, ctx: Context) -> None:
        """Take the last import back. What you have changed since by other means stays as it is."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        plan = await self.desk.shelf.undo_import(ctx, merchant.id)
        if plan is None:
            ctx.say(ctx.t("There is no import to take back."))
            return
        lines = [ctx.t("The last import is taken back."), *summary(plan, ctx.translator)]
        if plan.kept:
            names = list(plan.kept[:NAMED_MAX])
            lines.append(ctx.t("Changed since, and left as they are: {names}", names=names))
        ctx.say("\n".join(lines))

    @command("export", help=_("Staff room: your catalogue as files"), hidden=True)
    async def desk_export(self, ctx: Context) -> None:
        """Your catalogue as a CSV and as a YAML file: change it, and send it back."""
        merchant = await self.at_desk(ctx, Staff.MANAGER)
        if merchant is None:
            return
        table = await self.desk.shelf.export(ctx, merchant.id, "csv")
        await ctx.send_file(table, f"{merchant.slug}.csv", "text/csv")
        await ctx.send_file(
            await self.desk.shelf.export(ctx, merchant.id, "yaml"), f"{merchant.slug}.yaml", "application/yaml"
        )


def file_name(content: Mapping[str, Any]) -> str:
    """The name of a file: its body, unless that is what is written under it."""
    name = content.get("filename", content.get("body"))
    return name.strip()[:255] if isinstance(name, str) else ""


def too_large(say: Translator) -> str:
    """That a file has too many bytes."""
    return say.t("That file is too large: please send one of up to {most} MB.", most=max(1, BYTES_MAX // 1_000_000))


def shown_plan(plan: ImportPlan, say: Translator) -> Shown:
    """What a file would do, or what is wrong with it."""
    if plan.errors:
        count = len(plan.errors) + plan.more
        lines = [say.n("The file has {count} fault, and nothing was changed:",
                       "The file has {count} faults, and nothing was changed:", count)]  # fmt: skip
        lines += [said_problem(problem, say) for problem in plan.errors]
        if plan.more:
            lines.append(say.n("… and {count} more", "… and {count} more", plan.more))
        return Shown("\n".join(lines), "", False)
    if plan.empty and not plan.counted and not plan.order:
        return Shown(say.t("The file says what stands in the catalogue already."), "", False)
    return Shown("\n".join(summary(plan, say)), digest_of(plan), True)


def said_problem(problem: Problem, say: Translator) -> str:
    """One fault with its line and column."""
    words = say.t(problem.msgid, **problem.values)
    if problem.line and problem.column:
        return say.t("Line {line}, {column}: {problem}", line=str(problem.line), column=problem.column, problem=words)
    return say.t("Line {line}: {problem}", line=str(problem.line), problem=words) if problem.line else words


def summary(plan: ImportPlan, say: Translator) -> list[str]:
    """What changes, a line each, with some names."""
    lines = []
    if plan.added:
        names = some(each.name for each in plan.added)
        lines.append(
            say.n("{count} new product: {names}", "{count} new products: {names}", len(plan.added), names=names)
        )
    if plan.changed:
        names = some(each.after.name for each in plan.changed)
        lines.append(say.n("{count} changed: {names}", "{count} changed: {names}", len(plan.changed), names=names))
    if plan.removed:
        names = some(each.name for each in plan.removed)
        lines.append(say.n("{count} gone: {names}", "{count} gone: {names}", len(plan.removed), names=names))
    if plan.categories:
        names = some(each.name for each in plan.categories)
        lines.append(
            say.n("{count} category: {names}", "{count} categories: {names}", len(plan.categories), names=names)
        )
    if plan.order:
        lines.append(say.t("The order of the products changes."))
    if plan.same:
        lines.append(say.n("{count} stays as it is", "{count} stay as they are", plan.same))
    return lines


def some(names: Iterable[str]) -> list[str]:
    """The first of many names."""
    listed = list(islice(names, NAMED_MAX + 1))
    return [*listed[:NAMED_MAX], "…"] if len(listed) > NAMED_MAX else listed


def digest_of(plan: ImportPlan) -> str:
    """The same for plans that do the same."""
    parts = (
        plan.added, plan.changed, plan.removed, plan.categories, plan.no_categories, sorted(plan.counted), plan.order,
    )  # fmt: skip
    return sha256(repr(parts).encode(errors="surrogatepass")).hexdigest()
