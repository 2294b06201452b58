"""The shape of ``messenger`` in ``config.yaml``: chats, timers, privacy, search, the API for embedding products."""

from __future__ import annotations

from pydantic import Field

from appservice.config.base import Model


class Chats(Model):
    most_members: int = Field(100_000, ge=2, description="Members of one chat at most.")


class Messenger(Model):
    chats: Chats = Field(default_factory=Chats, description="Chats and their members.")
