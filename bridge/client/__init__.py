"""A client of Rialto's API for products in Python.

async with RialtoClient("https://chat.example.org", key) as rialto:
    person = await rialto.people.create("customer-4711", display_name="Ada")
    chat = await rialto.chats.create("group", "Tea", members=[person.external_id])
    async for member in rialto.members.all(chat.id):
        print(member.user_id, member.role)
"""

from bridge.client.client import RialtoClient
from bridge.client.transport import ApiError
from bridge.client.webhooks import WebhookEvent, WebhookRefused, read_webhook

__all__ = ["ApiError", "RialtoClient", "WebhookEvent", "WebhookRefused", "read_webhook"]
