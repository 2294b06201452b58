"""Makes what docker/compose.yaml needs before its first start; harmless to repeat.

Passwords, tokens and keys are made when they are not there and never changed afterwards. The registration is written
anew each time, so that it follows Rialto's configuration. Each file belongs to the user of the one container that
reads it.
"""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from appservice.config import ConfigError, load_config
from appservice.local.registration import registration_of
from appservice.local.synapse import signing_key
from appservice.local.yaml import to_yaml

SECRETS = Path("/run/secrets")
VOLUMES = Path("/volumes")
CONFIG = Path("/etc/rialto/config.yaml")
# The users that the images' processes run as
OWNERS = {"postgres": 999, "synapse": 991, "rialto": 10001}


def write(path: Path, text: str) -> None:
    """Write the whole file or nothing, readable by its owner alone."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def make(folder: Path, name: str, value: Callable[[], str]) -> str:
    """The content of a secret, made now when it is not there."""
    path = folder / name
    if not path.exists():
        write(path, value())
    return path.read_text()


def token() -> str:
    """A new random secret of 256 bits."""
    return secrets.token_urlsafe(32)


def prepare(
    base: Path, config: Path, environ: Mapping[str, str], own: Callable[[Path, int], None], volumes: Path = VOLUMES
) -> None:
    """Fill ``base``/{postgres,synapse,rialto}; ``own`` gives a path to a user. Raises ConfigError."""
    postgres, synapse, rialto = (base / name for name in OWNERS)
    for folder in (postgres, synapse, rialto):
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)

    make(postgres, "postgres", token)
    passwords = {name: make(postgres, name, token) for name in ("synapse", "rialto")}
    make(synapse, "pgpass", lambda: f"postgres:5432:synapse:synapse:{passwords['synapse']}\n")
    make(synapse, "signing.key", signing_key)
    for name in ("registration_shared_secret", "macaroon_secret_key", "form_secret"):
        make(synapse, name, token)
    for name in ("as_token", "hs_token", "pickle_key"):
        make(rialto, name, token)
    make(rialto, "database_url", lambda: f"postgresql://rialto:{passwords['rialto']}@postgres:5432/rialto")
    write(synapse / "registration.yaml", to_yaml(registration_of(load_config(config, environ))))

    for name, user in OWNERS.items():
        folder = base / name
        for path in (folder, *folder.iterdir()):
            own(path, user)
        folder.chmod(0o500)
    for data in volumes.iterdir() if volumes.is_dir() else ():
        own(data, OWNERS[data.name])


def main() -> int:
    """Exit code 0 when everything is there."""
    try:
        prepare(SECRETS, CONFIG, os.environ, lambda path, user: os.chown(path, user, user))
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write("Secrets and registration are in place.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
