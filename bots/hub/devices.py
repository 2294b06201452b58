"""A person's devices: shown, and signed out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from bots.framework import Context, Dialog, Option, command, dialog
from bots.framework.i18n import _
from bots.hub import words
from bots.hub.area import Area

NONE: Final = "none"
MOST: Final = 100


class Devices(Area):
    """Where a person is signed in."""

    @command("devices", help=_("Show where you are signed in, and sign a device out"), aliases=("sign out",))
    async def devices(self, ctx: Context) -> None:
        """Your devices; choose one to sign it out."""
        if await self.aside(ctx):
            ctx.start(self.show_devices)

    @dialog
    async def show_devices(self, d: Dialog) -> None:
        """A list to choose from. A device is signed out only after a second question: it may be the one at hand."""
        found: list[tuple[str, str, int | None, str]] = await self.try_step(d, "devices", self._devices, d.person)
        if not found:
            await d.end(d.t("I know of no device of yours."))
        options = [
            Option(f"device-{number}", words.one_line(name, 80), self._about_device(d, device_id, seen_at, ip))
            for number, (device_id, name, seen_at, ip) in enumerate(found)
        ]
        options.append(Option(NONE, d.t("None of them")))
        picked = (await d.choose(d.t("Your devices. Which one shall be signed out?"), options)).value
        if picked == NONE:
            await d.end(d.t("Everything stays as it is."))
        device_id, name, _seen_at, _ip = found[int(picked.removeprefix("device-"))]
        question = d.t("Sign “{device}” ({id}) out? It gets no messages any more.", device=name, id=device_id)
        if not await d.confirm(question):
            await d.end(d.t("Everything stays as it is."))
        await self.try_step(d, "sign out", self._sign_out, d.person, device_id)
        await d.say(d.t("“{device}” is signed out. What it has stored stays on it.", device=name))

    async def _devices(self, person: str) -> list[tuple[str, str, int | None, str]]:
        found = await self._messenger.devices.list(person)
        return [(each.device_id, each.name or each.device_id, each.seen_at, each.ip) for each in found[:MOST]]

    async def _sign_out(self, person: str, device_id: str) -> None:
        await self._messenger.devices.sign_out(person, device_id)

    @staticmethod
    def _about_device(d: Dialog, device_id: str, seen_at: int | None, ip: str) -> str:
        about = [device_id]
        if seen_at is not None:
            seen = datetime.fromtimestamp(seen_at / 1000, UTC)
            about.append(d.t("last used {time}", time=seen))
        if ip:
            about.append(ip)
        return ", ".join(about)
