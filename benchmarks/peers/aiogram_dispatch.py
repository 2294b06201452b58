"""aiogram's dispatcher: one command with an answer, and milliseconds of CPU for each. Runs with aiogram's own Python.

    python aiogram_dispatch.py EVENTS

The bot's session takes what is sent and answers at once, so no time is spent on the network. Nothing is stored.
"""

# mypy: ignore-errors
# aiogram is in an environment of its own, where no type checker looks.

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator
from typing import Any

from aiogram import Bot, Dispatcher, Router
from aiogram.client.session.base import BaseSession
from aiogram.filters import Command, CommandObject
from aiogram.methods import SendMessage
from aiogram.types import Chat, Message, Update, User

router = Router()


@router.message(Command("cancel"))
async def cancel(message: Message, command: CommandObject) -> None:
    """As many commands as the other candidate has."""


@router.message(Command("hours"))
async def hours(message: Message, command: CommandObject) -> None:
    """Likewise."""


@router.message(Command("buy"))
async def buy(message: Message, command: CommandObject) -> None:
    """The same answer."""
    count, _, what = (command.args or "").partition(" ")
    await message.answer(f"{int(count)} {what}")


class Taker(BaseSession):
    """Takes what is sent."""

    sent = 0

    async def make_request(self, bot: Bot, method: Any, timeout: int | None = None) -> Any:
        assert isinstance(method, SendMessage)
        self.sent += 1
        return Message(message_id=self.sent, date=0, chat=Chat(id=1, type="private"), text=method.text)

    async def close(self) -> None:
        """Nothing to close."""

    async def stream_content(self, *_: Any, **__: Any) -> AsyncGenerator[bytes, None]:
        yield b""


def update(number: int) -> dict[str, Any]:
    """As Telegram sends it."""
    person = User(id=7, is_bot=False, first_name="Alice").model_dump(exclude_none=True)
    chat = Chat(id=number % 20 + 1, type="private").model_dump(exclude_none=True)
    message = {"message_id": number, "date": 1, "chat": chat, "from": person, "text": "/buy 2 tea"}
    message["entities"] = [{"type": "bot_command", "offset": 0, "length": 4}]
    return {"update_id": number, "message": message}


async def main(events: int) -> None:
    """Feed and print."""
    session = Taker()
    bot = Bot("42:TEST", session=session)
    dispatcher = Dispatcher()
    dispatcher.include_router(router)
    for number in range(200):
        await dispatcher.feed_update(bot, Update.model_validate(update(number)))
    before, sent = time.process_time(), session.sent
    for number in range(events):
        await dispatcher.feed_update(bot, Update.model_validate(update(number)))
    spent = time.process_time() - before
    assert session.sent - sent == events
    print(json.dumps({"milliseconds": spent / events * 1000}))


asyncio.run(main(int(sys.argv[1])))
