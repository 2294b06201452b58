"""Two real homeservers that federate with each other, and with nobody else, on the loopback interface.

The local stack does not federate: what is needed for it (a TLS listener, loopback addresses that are not refused, who
may be spoken to) stands here alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appservice.local.files import free_port
from tests.support.servers import Server, running_synapse

HOST = "localhost"
"""A server name with a port is resolved as it stands: no DNS records, no .well-known."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What both servers show each other, and whose word they take: it is its own authority."""

    certificate: Path
    key: Path

    @classmethod
    async def make(cls, folder: Path) -> Certificate:
        """A new one for :data:`HOST`, in ``folder``. AssertionError with what openssl says."""
        made = cls(folder / "certificate.pem", folder / "certificate.key")
        process = await asyncio.create_subprocess_exec(
            *("openssl", "req", "-x509", "-noenc", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-keyout", made.key, "-out", made.certificate, "-days", "2", "-subj", f"/CN={HOST}"),
            *("-addext", f"subjectAltName=DNS:{HOST}"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
        return made


def _listener(port: int, resources: Sequence[str], *, tls: bool) -> dict[str, Any]:
    return {
        "port": port,
        "type": "http",
        "tls": tls,
        "bind_addresses": ["127.0.0.1"],
        "resources": [{"names": list(resources), "compress": False}],
    }


def _federating(client_port: int, federation_port: int, names: Sequence[str], shown: Certificate) -> dict[str, Any]:
    """The keys of homeserver.yaml that have a server federate with ``names``."""
    return {
        "listeners": [
            _listener(client_port, ("client", "openid"), tls=False),
            _listener(federation_port, ("federation",), tls=True),
        ],
        "tls_certificate_path": str(shown.certificate.absolute()),
        "tls_private_key_path": str(shown.key.absolute()),
        "federation_custom_ca_list": [str(shown.certificate.absolute())],
        "federation_domain_whitelist": list(names),
        "ip_range_blacklist": [],
        # Who is not reached at once is asked again at once: all happens within one machine.
        "federation": {"destination_min_retry_interval": 100, "destination_max_retry_interval": "1s"},
    }


@asynccontextmanager
async def federated_synapses(
    folder: Path, *slots: int, module: Mapping[str, Any] | None = None
) -> AsyncIterator[list[Server]]:
    """As many federating homeservers as there are ``slots``, each with so many registrations; stopped at the end.

    ``module``: what Rialto's module is told, where there is a registration.
    """
    shown = await Certificate.make(folder)
    ports = [(free_port(), free_port()) for _ in slots]
    names = [f"{HOST}:{federation}" for _, federation in ports]
    async with AsyncExitStack() as stack:

        async def begin(number: int) -> Server:
            home = folder / f"server{number}"
            home.mkdir()
            client, federation = ports[number]
            extra = _federating(client, federation, names, shown)
            if module is not None and slots[number]:
                paths = [str(home / f"registration-s{slot:02}.yaml") for slot in range(slots[number])]
                config = {"registration": paths, **module}
                extra["modules"] = [{"module": "rialto_synapse.RialtoModule", "config": config}]
            server = running_synapse(home, slots=slots[number], server_name=names[number], port=client, **extra)
            return await stack.enter_async_context(server)

        async with asyncio.TaskGroup() as group:
            starting = [group.create_task(begin(number)) for number in range(len(slots))]
        yield [one.result() for one in starting]
