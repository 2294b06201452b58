"""The class that a plugin is."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self, TypeVar

from pydantic import BaseModel

from appservice.errors import RialtoError

T = TypeVar("T")


class ScopeMissing(RialtoError):
    """A plugin asks for something that it has not declared, or was not granted."""

    code = "plugin_scope_missing"


@dataclass(frozen=True, slots=True)
class Setup:
    """What a plugin is made with.

    Attributes:
        instance: the name of this instance; a plugin may run several times with different settings.
        user_id: the bot's user.
        settings: an instance of the plugin's ``Settings``.
        services: what the plugin's scopes give it, by type.
    """

    instance: str
    user_id: str
    settings: Any = None
    services: Mapping[type, Any] = field(default_factory=dict)

    def service(self, kind: type[T]) -> T:
        """A service by its type.

        Raises:
            ScopeMissing: no scope of the plugin gives it.
        """
        found = self.services.get(kind)
        if found is None:
            raise ScopeMissing(f"{self.instance} has no scope that gives it {kind.__name__}", plugin=self.instance)
        return found  # type: ignore[no-any-return]


class Plugin:
    """One bot's behaviour: a class with handlers. What it needs arrives in its constructor.

    The constructor takes nothing, or a :class:`Setup`.
    """

    name: ClassVar[str] = ""
    """How configurations call it; the class's name in lower case unless said."""
    summary: ClassVar[str] = ""
    """One line that tells people what the bot is for."""
    Settings: ClassVar[type[BaseModel] | None] = None
    """What an operator can set; checked at start."""
    scopes: ClassVar[frozenset[str]] = frozenset()
    """What it needs beyond its own rooms: ``http``, ``payments.charge``, ``rooms.create``, ``location.read``, …"""
    locales: ClassVar[str] = ""
    """The package whose ``locales/`` folder holds its translations; its own package unless said."""

    migrations: ClassVar[str] = ""
    """The folder of its Alembic revisions, beside its module, when it has tables of its own. Their names begin with the
    plugin's; they are brought up to date before ``start``, for all instances once."""

    @classmethod
    def plugin_name(cls) -> str:
        """The name that configurations know it by."""
        return cls.name or cls.__name__.lower()

    @classmethod
    def create(cls, setup: Setup) -> Self:
        """An instance, its constructor given the setup when it takes one."""
        takes = [p for p in inspect.signature(cls).parameters.values() if p.default is inspect.Parameter.empty]
        return cls(setup) if takes else cls()  # type: ignore[call-arg]

    async def start(self) -> None:
        """Before the first event. Raising means that this plugin does not start; the others do."""

    async def stop(self) -> None:
        """After the last event."""
