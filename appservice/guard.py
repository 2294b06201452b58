"""The guard against addresses that people must not reach through Rialto (server-side request forgery).

A name is resolved once, by the connector's own resolver, which lets only permitted addresses through; the connection
goes to exactly these, so a name that resolves otherwise the next time gains nothing (DNS rebinding). The socket factory
looks at every address once more, whatever way it came.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Final, Literal, Self, TypeAlias

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from appservice.errors import RialtoError

Network: TypeAlias = IPv4Network | IPv6Network
Reason: TypeAlias = Literal["url", "scheme", "userinfo", "host", "port", "address"]
Lookup: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host name; raises OSError when there are none."""

MAX_URL: Final = 2_048
LOOKUP_THREADS: Final = 4

# IANA IPv4 Special-Purpose Address Registry (RFC 6890 and its updates), multicast and the reserved class E.
_NOT_PUBLIC_V4: Final = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # shared by carriers (RFC 6598); 100.100.100.200 is a metadata service
        "127.0.0.0/8",
        "169.254.0.0/16",  # link-local, with 169.254.169.254, the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        "168.63.129.16/32",  # public by number, but a metadata service of Azure
    )
)
# Only global unicast is public. That leaves out loopback, IPv4-mapped and -compatible addresses, NAT64 (RFC 6052,
# RFC 8215), unique local (fd00:ec2::254 is a metadata service), link-local, multicast and all that is not assigned.
_GLOBAL_V6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_V6: Final = tuple(
    IPv6Network(each)
    for each in (
        "2001::/23",  # protocol assignments, with Teredo (2001::/32), which holds an IPv4 address
        "2001:db8::/32",
        "2002::/16",  # 6to4, which holds an IPv4 address
        "3fff::/20",
    )
)
_ISATAP: Final = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")  # RFC 5214: an IPv4 address follows

_DNS_NAME: Final = re.compile(
    # Two labels or more: a single one is a name of this machine or its network. The last one begins with a letter,
    # for what ends in a number is read as an IPv4 address by some (URL standard, "ends in a number").
    r"(?=.{4,253}\.?\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9-]{0,61}[a-z0-9])\.?"
)


class AddressRefused(RialtoError):
    """A URL that is not followed; ``reason`` says which part of it is to blame. Nothing of the URL is in it."""

    code = "url_refused"

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"an address is not followed: {reason}", reason=reason)
        self.reason: Reason = reason


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address belongs to the public internet, by the registries of IANA."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_V4)
    if address not in _GLOBAL_V6 or address.scope_id is not None or address.packed[8:12] in _ISATAP:
        return False
    return not any(address in network for network in _NOT_PUBLIC_V6)


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """Which addresses may be reached: the public ones and ``allowed``, but never ``denied``.

    ``denied`` is for addresses that are public by number and still the operator's own; a network with its own NAT64
    prefix lists it there.
    """

    allowed: tuple[Network, ...] = ()
    denied: tuple[Network, ...] = ()

    @classmethod
    def of(cls, *, allowed: Collection[str] = (), denied: Collection[str] = ()) -> Self:
        """A policy from networks written as in ``10.0.0.0/8``; ValueError for what is none."""
        return cls(tuple(map(ip_network, allowed)), tuple(map(ip_network, denied)))

    def _refused(self, reason: Reason) -> RialtoError:
        return AddressRefused(reason)

    def permits(self, address: str) -> bool:
        """Whether an address may be reached; never for what is none."""
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if any(parsed in network for network in self.denied):
            return False
        return any(parsed in network for network in self.allowed) or is_public(parsed)

    def check(self, url: str | URL, *, ports: Collection[int] | None = ()) -> URL:
        """The URL, if it can be followed as far as can be seen without looking its name up.

        Args:
            url: an absolute one.
            ports: allowed besides the default port of the scheme; None allows all.

        Raises:
            AddressRefused: it cannot.
        """
        parsed = self._parsed(str(url))
        if parsed.scheme not in {"http", "https"}:
            raise self._refused("scheme")
        if "@" in parsed.raw_authority or parsed.user is not None or parsed.password is not None:
            raise self._refused("userinfo")
        host = parsed.raw_host
        if not host:
            raise self._refused("host")
        if not parsed.is_default_port() and ports is not None and parsed.port not in ports:
            raise self._refused("port")
        if _is_literal(host):
            if not self.permits(host):
                raise self._refused("address")
        elif not _DNS_NAME.fullmatch(host):
            raise self._refused("host")
        return parsed.with_fragment(None)

    def _parsed(self, text: str) -> URL:
        # What parsers read differently is refused before one of them reads it.
        if len(text) > MAX_URL or re.search(r"[\x00-\x20\x7f\\]", text) or not text.isprintable():
            raise self._refused("url")
        if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", text):
            raise self._refused("url")
        if not re.match(r"https?:", text, re.IGNORECASE):
            raise self._refused("scheme")
        if "://" not in text[:9]:
            raise self._refused("url")
        try:
            return URL(text)
        except ValueError:
            raise self._refused("url") from None


def _is_literal(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


class SystemLookup:
    """The names that the machine resolves, in threads of its own: slow name servers must not hold up all else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(LOOKUP_THREADS, thread_name_prefix="lookup")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The addresses of ``host``."""
        # Absolute, so that no search domain of this machine completes what a person wrote.
        name = host.rstrip(".") + "."
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(
            self._threads, lambda: socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        )
        return [str(address[0]) for *_, address in found]

    def close(self) -> None:
        """Let the threads go; those that still wait for an answer end with it."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Lets only permitted addresses through."""

    def __init__(self, policy: AddressPolicy, lookup: Lookup) -> None:
        self._policy = policy
        self._lookup = lookup

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The permitted addresses of a name.

        Raises:
            AddressRefused: none of its addresses is permitted.
            OSError: it has none.
        """
        found = list(dict.fromkeys(await self._lookup(host, port)))
        if not found:
            raise OSError("the name has no address")
        permitted = [address for address in found if self._policy.permits(address)]
        if not permitted:
            raise self._policy._refused("address")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in permitted
        ]

    async def close(self) -> None:
        """Nothing to close."""


def guarded_connector(policy: AddressPolicy, lookup: Lookup, *, connections: int) -> aiohttp.TCPConnector:
    """A connector that reaches permitted addresses only. It keeps no connections and no names."""

    def checked_socket(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not policy.permits(str(address[0])):
            raise policy._refused("address")
        return socket.socket(family, kind, protocol)

    return aiohttp.TCPConnector(
        resolver=GuardedResolver(policy, lookup),
        use_dns_cache=False,
        force_close=True,
        limit=connections,
        socket_factory=checked_socket,
    )
