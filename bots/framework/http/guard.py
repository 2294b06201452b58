"""The guard against addresses that people must not reach through Rialto: :mod:`appservice.guard`, with errors that
speak to people.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from yarl import URL

from appservice import guard
from appservice.guard import (
    MAX_URL,
    GuardedResolver,
    Lookup,
    Network,
    Reason,
    SystemLookup,
    guarded_connector,
    is_public,
)
from bots.framework.http.errors import UnsafeUrl

__all__ = [
    "MAX_URL",
    "AddressPolicy",
    "GuardedResolver",
    "Lookup",
    "Network",
    "SystemLookup",
    "guarded_connector",
    "is_public",
]


@dataclass(frozen=True, slots=True)
class AddressPolicy(guard.AddressPolicy):
    """Which addresses may be reached: the public ones and ``allowed``, but never ``denied``.

    ``denied`` is for addresses that are public by number and still the operator's own; a network with its own NAT64
    prefix lists it there.
    """

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    @classmethod
    def of(cls, *, allowed: Collection[str] = (), denied: Collection[str] = ()) -> AddressPolicy:
        """A policy from networks written as in ``10.0.0.0/8``; ValueError for what is none."""
        made = guard.AddressPolicy.of(allowed=allowed, denied=denied)
        return cls(made.allowed, made.denied)

    def _refused(self, reason: Reason) -> UnsafeUrl:
        return UnsafeUrl(reason)

    def permits(self, address: str) -> bool:
        """Whether an address may be reached; never for what is none."""
        return guard.AddressPolicy.permits(self, address)

    def check(self, url: str | URL, *, ports: Collection[int] | None = ()) -> URL:
        """The URL, if it can be followed as far as can be seen without looking its name up.

        Args:
            url: an absolute one.
            ports: allowed besides the default port of the scheme; None allows all.

        Raises:
            UnsafeUrl: it cannot.
        """
        return guard.AddressPolicy.check(self, url, ports=ports)
