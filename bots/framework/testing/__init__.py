"""Tests of plugins without a homeserver: the real router, dialogs, unit of work, engine and store (SQLite in memory),
and people who say what a test tells them to. A test takes milliseconds::

    async def test_coffee() -> None:
        world = World(Coffee)
        alice = world.user("alice")
        await alice.says("coffee")
        assert "Which size" in (await alice.hears()).body
        await world.restart()
        await alice.picks("2")
"""

from bots.framework.clock import ManualClock
from bots.framework.testing.homeserver import Message, Room
from bots.framework.testing.payments import WorldPayments
from bots.framework.testing.people import Person
from bots.framework.testing.world import BOT_SERVER, World

__all__ = ["BOT_SERVER", "ManualClock", "Message", "Person", "Room", "World", "WorldPayments"]
