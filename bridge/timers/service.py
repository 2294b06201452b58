"""Sets and tells the timers of chats.

The timer stands in the room's state, which is the one truth: every client sees it, and the order of the timeline says
for which messages it holds. :class:`bridge.timers.feature.TimerFeature` does what it says.
"""

from __future__ import annotations

from bridge.actor import Actor
from bridge.chats.service import ChatService
from bridge.domain.kinds import Kind
from bridge.domain.roles import Role
from bridge.domain.timers import TIMER, BadDuration, Start, Timer, state_content
from bridge.errors import Refused
from bridge.permissions import Permissions
from bridge.steward import Steward, within_power
from bridge.store.chats import Chat


class TimerService:
    """Message timers, for everybody who may set them."""

    def __init__(self, steward: Steward, permissions: Permissions, chats: ChatService) -> None:
        self._steward = steward
        self._permissions = permissions
        self._chats = chats

    async def set(self, actor: Actor, chat: Chat, seconds: int | None, start: str = Start.SENT.value) -> Timer | None:
        """Have the messages of a chat go after a time; those that were sent before keep the timer they had.

        Both people of a direct chat and of a service chat may, and the admins of others.

        Args:
            seconds: 5 to a year; None: they stay.
            start: from when on: ``sent``, or ``read`` for the first reading by somebody else.

        Raises:
            Refused: ``timer_range``, ``timer_start``.
            NotAllowed: the role is too low, or the steward's.
        """
        try:
            timer = None if seconds is None else Timer(seconds, Start(start))
        except BadDuration as error:
            raise Refused(error.code, error.human) from error
        except ValueError as error:
            raise Refused("timer_start", "A timer starts when a message is sent, or when it is read.") from error
        everybody = chat.kind in {Kind.DIRECT, Kind.SERVICE}
        await self._permissions.require(actor, chat, Role.WRITER if everybody else Role.ADMIN)
        hand = self._steward.of(chat)
        async with self._chats.lock(chat.room_id):
            # Who set it before, with the same time, stays who set it: nothing has changed.
            if await self.get(chat) != timer:
                with within_power():
                    await hand.set_state(chat.room_id, TIMER, state_content(timer, actor.name))
        return timer

    async def get(self, chat: Chat) -> Timer | None:
        """The timer of a chat, as the homeserver has it; None: messages stay."""
        return Timer.of(await self._steward.of(chat).state(chat.room_id, TIMER))
