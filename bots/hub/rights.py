"""A person's rights: a copy of all that is held about them, and its erasure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from bots.framework import Context, Dialog, command, dialog
from bots.framework.i18n import _
from bots.hub.area import Area
from bridge.domain.rights import State

ARCHIVE: Final = "application/zip"


class Rights(Area):
    """Export and erasure."""

    @command("export my data", help=_("Get a copy of all that is held about you"), aliases=("my data",))
    async def export(self, ctx: Context) -> None:
        """An archive of everything that Rialto holds about you, in our own chat."""
        if await self.aside(ctx):
            ctx.start(self.export_data)

    @dialog
    async def export_data(self, d: Dialog) -> None:
        """Have it gathered, or say how far it is."""
        running, done, total = await self.try_step(d, "export", self._export, d.person)
        if running and total:
            await d.end(d.t("I am gathering your data: {done} of {total} parts are there.", done=done, total=total))
        await d.say(d.t("I gather what is held about you, and send it here as a file. That may take a while."))

    async def _export(self, person: str) -> tuple[bool, int, int]:
        request = await self._messenger.rights.start_export(person)
        return request.state is State.RUNNING, request.done, request.total

    async def send_export(self, ctx: Context, room_id: str, request: str, until: int) -> None:
        """The archive is made: send it to the person's own chat."""
        archive = await self._messenger.rights.archive(ctx.sender, request)
        when = datetime.fromtimestamp(until / 1000, UTC)
        caption = ctx.t("All that is held about you. I keep this copy until {until}.", until=when)
        await ctx.send_file(archive, "my-data.zip", ARCHIVE, caption=caption, room_id=room_id)

    @command("erase my data", help=_("Have everything about you erased, and your account closed"))
    async def erase(self, ctx: Context) -> None:
        """There is no way back. I ask twice."""
        if await self.aside(ctx):
            ctx.start(self.erase_data)

    @dialog
    async def erase_data(self, d: Dialog) -> None:
        """Twice asked: there is no way back."""
        question = d.t(
            "Your chats, settings and everything else that Rialto holds about you is erased, and your account is "
            "closed. There is no way back. Do you want that?"
        )
        if not await d.confirm(question):
            await d.end(d.t("Nothing was erased."))
        word = d.t("erase")
        said = await d.ask(d.t("To go on, write “{word}”.", word=word))
        if said.strip().strip('“”"').casefold() not in {word.casefold(), "erase"}:
            await d.end(d.t("That is another word. Nothing was erased."))
        await self.try_step(d, "erase", self._erase, d.person)
        await d.say(d.t("It is being erased. Farewell."))

    async def _erase(self, person: str) -> Any:
        await self._messenger.rights.erase(person)
