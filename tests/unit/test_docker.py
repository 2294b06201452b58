"""``docker/`` checked without an engine: the files agree with each other and with what they start."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import stat
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from appservice.cli import parser
from appservice.config import Config, load_config, read_config

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


def read(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text())


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    value = read(DOCKER / "compose.yaml")
    assert isinstance(value, dict)
    return value


@pytest.fixture(scope="module")
def synapse() -> dict[str, Any]:
    value = read(DOCKER / "synapse" / "homeserver.yaml")
    assert isinstance(value, dict)
    return value


def load_init() -> Any:
    spec = importlib.util.spec_from_file_location("docker_init", DOCKER / "init.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environ(base: Path) -> dict[str, str]:
    """Where the secrets are when they are not mounted."""
    return {
        "RIALTO__APPSERVICE__AS_TOKEN_FILE": str(base / "rialto" / "as_token"),
        "RIALTO__APPSERVICE__HS_TOKEN_FILE": str(base / "rialto" / "hs_token"),
        "RIALTO__DATABASE__URL_FILE": str(base / "rialto" / "database_url"),
        "RIALTO__ENCRYPTION__PICKLE_KEY_FILE": str(base / "rialto" / "pickle_key"),
    }


Prepare = Callable[[], dict[Path, int]]


@pytest.fixture
def prepare(tmp_path: Path) -> Prepare:
    """Runs the init service's work in a scratch folder; what belongs to whom."""
    init = load_init()

    def work() -> dict[Path, int]:
        owners: dict[Path, int] = {}
        base = tmp_path / "secrets"
        init.prepare(base, DOCKER / "rialto" / "config.yaml", environ(base), owners.__setitem__, tmp_path / "none")
        return owners

    return work


@pytest.fixture
def config(prepare: Prepare, tmp_path: Path) -> Config:
    prepare()
    return load_config(DOCKER / "rialto" / "config.yaml", environ(tmp_path / "secrets"))


# --- compose.yaml


def test_services_and_volumes(compose: dict[str, Any]) -> None:
    assert set(compose["services"]) == {"init", "postgres", "synapse", "rialto"}
    named = {each.partition(":")[0] for service in compose["services"].values() for each in service["volumes"]}
    assert {each for each in named if not each.startswith(".")} == set(compose["volumes"])


def test_referenced_files_exist(compose: dict[str, Any]) -> None:
    for service in compose["services"].values():
        for each in service["volumes"]:
            source, target, *mode = each.split(":")
            if source.startswith("."):
                assert (DOCKER / source).is_dir() or source.endswith(".py"), source
                assert (DOCKER / source).exists(), source
                assert mode == ["ro"], f"{target} is the operator's: read only"
    build = compose["services"]["init"]["build"]
    assert (DOCKER / build["context"]).resolve() == ROOT
    assert (ROOT / build["dockerfile"]).is_file()


def test_every_image_has_an_exact_version(compose: dict[str, Any]) -> None:
    images = [service["image"] for service in compose["services"].values()]
    images += [arguments.split()[0] for name, arguments in instructions() if name == "FROM"]
    for image in images:
        name, _, tag = image.partition(":")
        assert re.search(r"\d+\.\d+", tag), f"{name} has no exact tag"
        assert "latest" not in tag


def test_every_lasting_service_is_watched_and_comes_back(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        if name == "init":
            assert service["restart"] == "no"
            assert service["healthcheck"] == {"disable": True}
            continue
        assert service["restart"] == "unless-stopped"
        check = service["healthcheck"]
        assert check["test"][0] == "CMD"
        assert {"interval", "timeout", "retries", "start_period"} <= check.keys()
        assert service["stop_grace_period"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_they_start_in_order(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["postgres"]["depends_on"] == {"init": {"condition": "service_completed_successfully"}}
    assert services["synapse"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert services["rialto"]["depends_on"] == {
        "postgres": {"condition": "service_healthy"},
        "synapse": {"condition": "service_healthy"},
    }


def test_ports_are_open_to_this_machine_alone(compose: dict[str, Any]) -> None:
    published = {
        name: [each.split(":") for each in service.get("ports", [])] for name, service in compose["services"].items()
    }
    assert all(each[0] == "127.0.0.1" for ports in published.values() for each in ports)
    assert [each[2] for each in published["synapse"]] == ["8008"]
    assert [each[2] for each in published["rialto"]] == ["29301"]
    assert published["postgres"] == []


def test_no_secret_stands_in_the_files(compose: dict[str, Any]) -> None:
    for path in [*DOCKER.rglob("*.yaml"), DOCKER / "Dockerfile"]:
        for line in path.read_text().splitlines():
            assert not re.search(r"(password|token|secret|pickle_key)\s*[:=]\s*[^\s{/]", line, re.IGNORECASE), line
    secrets = {each for service in compose["services"].values() for each in service["volumes"] if "-secrets:" in each}
    read_only = {each for each in secrets if each.endswith(":ro")}
    assert {each.removesuffix(":ro") for each in read_only} == secrets - read_only  # init alone writes them


def test_a_container_sees_no_secrets_of_another(compose: dict[str, Any]) -> None:
    for name in ("postgres", "synapse", "rialto"):
        volumes = compose["services"][name]["volumes"]
        assert [each for each in volumes if "-secrets:" in each] == [f"{name}-secrets:/run/secrets/{name}:ro"]


def test_root_file_systems_are_read_only(compose: dict[str, Any]) -> None:
    for name in ("init", "synapse", "rialto"):
        assert compose["services"][name]["read_only"] is True
        assert compose["services"][name]["cap_drop"] == ["ALL"]


def test_the_command_is_one_that_rialto_has(compose: dict[str, Any]) -> None:
    command = compose["services"]["rialto"]["command"]
    arguments = parser().parse_args(command)
    assert arguments.command == "run"
    assert str(arguments.config) == "/etc/rialto/config.yaml"
    assert "./rialto:/etc/rialto:ro" in compose["services"]["rialto"]["volumes"]


# --- the configurations agree


def test_rialtos_configuration_loads_without_a_warning(prepare: Prepare, tmp_path: Path) -> None:
    prepare()
    loaded = read_config(DOCKER / "rialto" / "config.yaml", environ(tmp_path / "secrets"))
    assert loaded.warnings == ()
    text = (DOCKER / "rialto" / "config.yaml").read_text()
    mounted = re.findall(r"\{file: (/run/secrets/rialto/\w+)\}", text)
    assert sorted(Path(each).name for each in mounted) == ["as_token", "database_url", "hs_token", "pickle_key"]
    assert all((tmp_path / "secrets" / "rialto" / Path(each).name).is_file() for each in mounted)


def test_rialto_finds_the_others(config: Config, compose: dict[str, Any], synapse: dict[str, Any]) -> None:
    assert config.homeserver.server_name == synapse["server_name"]
    homeserver = urlsplit(config.homeserver.url)
    assert homeserver.hostname in compose["services"]
    assert homeserver.port == synapse["listeners"][0]["port"] == 8008
    database = urlsplit(config.database.url)
    assert (database.hostname, database.port, database.path, database.username) == (
        "postgres",
        5432,
        "/rialto",
        "rialto",
    )
    url = urlsplit(config.appservice.url)
    assert url.hostname == "rialto"
    assert config.appservice.listen == f"0.0.0.0:{url.port}"
    assert config.metrics.listen == "0.0.0.0:29301"
    assert "29301/health/ready" in " ".join(compose["services"]["rialto"]["healthcheck"]["test"])


def test_containers_get_the_time_that_handlers_get(config: Config, compose: dict[str, Any]) -> None:
    assert int(compose["services"]["rialto"]["stop_grace_period"].removesuffix("s")) > config.engine.grace


def test_synapse_finds_its_files(
    synapse: dict[str, Any], compose: dict[str, Any], prepare: Prepare, tmp_path: Path
) -> None:
    prepare()
    assert "./synapse:/config:ro" in compose["services"]["synapse"]["volumes"]
    assert compose["services"]["synapse"]["environment"]["SYNAPSE_CONFIG_PATH"] == "/config/homeserver.yaml"
    named = re.findall(r"/run/secrets/synapse/[\w.]+", (DOCKER / "synapse" / "homeserver.yaml").read_text())
    assert len(set(named)) == 6
    for each in named:
        assert (tmp_path / "secrets" / Path(each).relative_to("/run/secrets")).is_file(), each
    database = synapse["database"]["args"]
    password = (tmp_path / "secrets" / "synapse" / "pgpass").read_text().strip().split(":")
    assert password[:4] == [database["host"], "5432", database["dbname"], database["user"]]
    assert password[4] == (tmp_path / "secrets" / "postgres" / "synapse").read_text()


def test_synapse_finds_the_module(synapse: dict[str, Any], compose: dict[str, Any]) -> None:
    (module,) = synapse["modules"]
    name = module["module"].partition(".")[0]
    assert compose["services"]["synapse"]["environment"]["PYTHONPATH"] == "/modules"
    volumes = compose["services"]["synapse"]["volumes"]
    (source,) = [each.split(":")[0] for each in volumes if each.split(":")[1] == f"/modules/{name}.py"]
    assert (DOCKER / source).resolve() == ROOT / "appservice" / "local" / "rialto_synapse.py"
    assert module["config"]["registration"] in synapse["app_service_config_files"]


def test_postgres_makes_the_databases_that_the_others_use() -> None:
    script = DOCKER / "postgres" / "10-databases.sh"
    assert script.stat().st_mode & stat.S_IXUSR
    assert "for name in synapse rialto" in script.read_text()
    subprocess.run(["bash", "-n", str(script)], check=True, timeout=10)


# --- the one-shot service


def test_init_makes_everything_once_for_the_right_owners(prepare: Prepare, tmp_path: Path) -> None:
    owners = prepare()
    files = {path: path.read_text() for path in (tmp_path / "secrets").rglob("*") if path.is_file()}
    assert len(files) == 13
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o400 for path in files)
    ids = {"postgres": 999, "synapse": 991, "rialto": 10001}
    assert owners == {path: ids[path.parent.name] for path in files} | {
        tmp_path / "secrets" / name: number for name, number in ids.items()
    }
    values = [text for path, text in files.items() if path.name not in {"pgpass", "registration.yaml", "database_url"}]
    again = prepare()
    assert again == owners
    assert {path: path.read_text() for path in files} == files
    assert len(values) == len(set(values))
    assert all(len(value.strip()) >= 43 for value in values)


def test_the_registration_is_rialtos(config: Config, tmp_path: Path) -> None:
    registration = read(tmp_path / "secrets" / "synapse" / "registration.yaml")
    assert registration["as_token"] == config.appservice.as_token.get_secret_value()
    assert registration["hs_token"] == config.appservice.hs_token.get_secret_value()
    assert registration["url"] == "http://rialto:29300"


def test_init_runs_as_root_without_network_and_reports_a_wrong_configuration(
    compose: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    service = compose["services"]["init"]
    assert service["network_mode"] == "none"
    assert service["user"] == "0:0"
    assert service["entrypoint"][1] == copies()[-1][1]
    wrong = tmp_path / "config.yaml"
    wrong.write_text("homeserver: {url: nowhere}\n")
    init = load_init()
    monkeypatch.setattr(init, "SECRETS", tmp_path / "secrets")
    monkeypatch.setattr(init, "CONFIG", wrong)
    assert init.main() == 2
    assert f"{wrong}:1: homeserver.url needs http:// or https://" in capsys.readouterr().err


# --- the Dockerfile


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) of each instruction, continued lines joined, comments left out."""
    lines = [line for line in (DOCKER / "Dockerfile").read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(name.upper(), arguments.strip()) for name, _, arguments in found]


def copies() -> list[tuple[list[str], str]]:
    found = []
    for name, arguments in instructions():
        if name == "COPY":
            *sources, target = [each for each in shlex.split(arguments) if not each.startswith("--")]
            found.append((sources, target))
    return found


def last(name: str) -> str:
    return [arguments for each, arguments in instructions() if each == name][-1]


def final_stage() -> list[tuple[str, str]]:
    all_ = instructions()
    start = max(number for number, (name, _) in enumerate(all_) if name == "FROM")
    return all_[start:]


def test_copied_files_exist_and_are_not_ignored() -> None:
    ignore = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    assert "*" in ignore
    for sources, _ in copies():
        for source in sources:
            assert (ROOT / source).exists(), source
            assert any(f"!{part}" in ignore for part in (source, source.split("/")[0])), f"{source} is ignored"
    needed = {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "appservice", "bridge", "bots", "alembic"}
    assert needed <= {source for sources, _ in copies() for source in sources}


def test_two_stages_and_no_build_tools_in_the_last() -> None:
    stages = [arguments.split() for name, arguments in instructions() if name == "FROM"]
    assert [each[0] for each in stages] == ["python:3.11.14-slim-bookworm"] * 2
    assert stages[0][1:] == ["AS", "build"]
    final = " ".join(arguments for _, arguments in final_stage())
    assert "apt-get" not in final
    assert "build-essential" not in final
    assert "--no-index" in final
    wheels = next(arguments for name, arguments in instructions() if name == "RUN" and "pip wheel" in arguments)
    fetched, _, built = wheels.partition("&&")
    assert "--require-hashes --requirement requirements.lock" in fetched
    assert "--no-deps --no-index --find-links=/wheels" in built, "nothing is fetched that the lock does not know"


def test_the_lock_names_every_dependency_exactly() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements.lock").read_text().splitlines()
    locked = dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;]+)", "\n".join(lock), re.MULTILINE))
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        wanted = Requirement(text)
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), text


def test_the_process_is_not_root_and_stops_on_sigterm() -> None:
    names = [name for name, _ in final_stage()]
    user = last("USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    assert names.index("USER") > max(number for number, name in enumerate(names) if name == "RUN")
    assert last("STOPSIGNAL") == "SIGTERM"
    assert load_init().OWNERS["rialto"] == int(user.split(":")[0])
    assert f"--uid {user.split(':')[0]} " in " ".join(arguments for _, arguments in final_stage())


def test_entry_point_health_check_and_ports() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["rialto"]
    assert parser().parse_args(json.loads(last("CMD").removeprefix("CMD "))).command == "run"
    check = last("HEALTHCHECK")
    assert json.loads(check[check.index("[") :])[:2] == ["python", "-c"]
    assert "127.0.0.1:29301/health/ready" in check
    assert last("EXPOSE").split() == ["29300", "29301"]
    ports = (Config.model_fields["metrics"].get_default(call_default_factory=True).listen,)
    assert ports == ("127.0.0.1:29301",)


def test_the_health_probe_tells_ready_from_not() -> None:
    """The very program of the image, against a listener that is not there."""
    check = last("HEALTHCHECK")
    command = json.loads(check[check.index("[") :])
    program = command[2].replace("29301", "1")
    failed = subprocess.run(["python3", "-c", program], capture_output=True, timeout=30, check=False)
    assert failed.returncode == 1
