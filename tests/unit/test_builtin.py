"""Commands that every bot knows."""

from __future__ import annotations

from bots.framework import Context, Plugin, command
from bots.framework.testing import World


class Clock(Plugin):
    """Tells the time."""

    @command("when", help="The time")
    async def when(self, ctx: Context) -> None:
        ctx.say(f"{ctx.now():%H:%M} {ctx.zone}")


async def test_language_and_zone_hold_from_then_on() -> None:
    world = World(Clock)
    alice = world.user("alice")
    await alice.says("language deutsch")
    assert "Deutsch" in (await alice.hears()).body
    await alice.says("wwhen")
    assert (await alice.hears()).body.startswith("„wwhen“ kenne ich nicht")
    await alice.says("zone Tokyo")
    assert "Asia/Tokyo" in (await alice.hears()).body
    await world.restart()
    await alice.says("when")
    assert (await alice.hears()).body.endswith("Asia/Tokyo")
    bob = world.user("bob")
    await bob.says("language Klingonese")
    assert "Klingonese" in (await bob.hears()).body
    await bob.says("zone nowhere")
    assert "nowhere" in (await bob.hears()).body
    await bob.says("help")
    page = (await bob.hears()).body
    assert "when" in page and "language" in page and "zone" in page
    world.check()
