"""Whether anybody may write in a chat: nobody may in one that is archived."""

from __future__ import annotations

from bridge.domain.kinds import CHAT_STATE, chat_state
from bridge.domain.roles import ARCHIVED, level_of, number
from bridge.steward import Steward
from bridge.store.chats import Chat


async def set_writing(hand: Steward, chat: Chat, *, archived: bool) -> None:
    """Raise the power that writing needs, or lower it again. What it was stands in the room: a crash between the two
    does not lose it.

    Args:
        hand: who has the power in the chat's room.
    """
    state = await hand.state(chat.room_id, CHAT_STATE) or chat_state(chat.kind, public=chat.public)
    levels = await hand.power_levels(chat.room_id)
    before = state.get("writes", number(levels.get("events_default"), 0))
    plain = {key: value for key, value in state.items() if key not in {"archived", "writes"}}
    if archived:
        await hand.set_state(chat.room_id, CHAT_STATE, {**plain, "archived": True, "writes": before})
        # In adopted rooms the steward has no power above the owners': they can write on.
        closed = min(ARCHIVED, level_of(hand.user_id, levels))
        await hand.set_state(chat.room_id, "m.room.power_levels", {**levels, "events_default": closed})
    else:
        await hand.set_state(chat.room_id, "m.room.power_levels", {**levels, "events_default": number(before, 0)})
        await hand.set_state(chat.room_id, CHAT_STATE, plain)
