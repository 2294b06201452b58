"""``rialto check``, ``doctor`` and ``user`` against a real Synapse that has the registration."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from appservice.config import load_config
from appservice.local.registration import registration_of, write_registration
from tests.support.fixtures import StartRialto
from tests.support.human import Human
from tests.support.servers import REPOSITORY, RialtoProcess, Server


async def rialto_json(*arguments: str, stdin: str = "", **environ: str) -> tuple[int, Any]:
    """Run ``rialto … --json``; exit code and answer."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "appservice", *arguments, "--json"),
        cwd=REPOSITORY,
        env={**os.environ, **environ},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        out, err = await process.communicate(stdin.encode())
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, json.loads(out) if out else err.decode()


def checks_of(answer: Any) -> dict[str, dict[str, str]]:
    """The checks by name."""
    return {check["name"]: check for check in answer["checks"]}


def registration(process: RialtoProcess) -> Path:
    """The registration as `rialto register` writes it, beside the configuration."""
    path = process.folder / "registration.yaml"
    write_registration(path, registration_of(load_config(process.config_path)))
    return path


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
async def test_a_healthy_service_passes_every_check(rialto: StartRialto, database: str) -> None:
    process = await rialto(("hub",), database=database)
    registration(process)
    code, answer = await rialto_json("check", "-c", str(process.config_path))
    assert (code, answer["ok"]) == (0, True), answer
    code, answer = await rialto_json("doctor", "-c", str(process.config_path))
    assert code == 0, answer
    verdicts = {name: check["verdict"] for name, check in checks_of(answer).items()}
    assert set(verdicts.values()) == {"ok"}, answer
    assert {"database", "migrations", "homeserver", "as_token", "server", "clock", "ping", "disk"} <= set(verdicts)


async def test_what_does_not_fit_is_named(rialto: StartRialto) -> None:
    process = await rialto(("hub",), start=False)
    path = registration(process)
    config = str(process.config_path)
    code, answer = await rialto_json("check", "-c", config, RIALTO__HOMESERVER__SERVER_NAME="other.example.org")
    assert code == 1
    assert "server_name" in checks_of(answer)
    code, answer = await rialto_json("check", "-c", config, RIALTO__APPSERVICE__AS_TOKEN="x" * 43)
    assert code == 1
    assert "app_service_config_files" in checks_of(answer)["as_token"]["advice"]
    assert str(path) in checks_of(answer)["registration"]["text"]
    assert config in checks_of(answer)["registration"]["text"]


async def test_doctor_says_when_the_homeserver_does_not_reach_the_service(rialto: StartRialto) -> None:
    process = await rialto(("hub",), start=False)
    code, answer = await rialto_json("doctor", "-c", str(process.config_path))
    assert code == 3, answer
    checks = checks_of(answer)
    assert checks["ping"]["verdict"] == "fail"
    assert "rialto run" in checks["ping"]["advice"]
    assert checks["service"]["verdict"] == "warn"


async def test_accounts_of_a_homeserver_that_is_not_the_local_stack(synapse: Server, tmp_path: Path) -> None:
    where = ("--homeserver", synapse.url, "--data", str(tmp_path))
    secret = synapse.settings.shared_secret
    code, made = await rialto_json("user", "add", "remote_user", *where, RIALTO_SHARED_SECRET=secret)
    assert code == 0
    human = await Human.log_in(synapse.url, made["user_id"], made["password"], tmp_path / "human")
    await human.close()
    code, _ = await rialto_json("user", "add", "remote_user", *where, RIALTO_SHARED_SECRET=secret)
    assert code == 1, "the name is taken"
    admin = await synapse.register("remote_admin", admin=True)
    token_of = await Human.log_in(synapse.url, admin.user_id, admin.password, tmp_path / "admin")
    try:
        token = token_of.credentials().access_token
        code, users = await rialto_json("user", "list", *where, RIALTO_ADMIN_TOKEN=token)
        assert code == 0
        assert made["user_id"] in {user["user_id"] for user in users}
        code, _ = await rialto_json("user", "deactivate", made["user_id"], *where, RIALTO_ADMIN_TOKEN=token)
        assert code == 0
        _, users = await rialto_json("user", "list", *where, RIALTO_ADMIN_TOKEN=token)
        assert {user["user_id"]: user["deactivated"] for user in users}[made["user_id"]] is True
    finally:
        await token_of.close()
    code, _ = await rialto_json("user", "list", *where, RIALTO_ADMIN_TOKEN="wrong")
    assert code == 1
