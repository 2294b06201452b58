"""The host: what the configuration names runs, what is wrong is said and left out, and operators decide where."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest

from appservice.config import ConfigError
from appservice.errors import RialtoError
from appservice.unit import UnitOfWork
from bots.framework.commands import DESCRIPTION_TYPE
from bots.framework.instances import plan, read_permissions
from bots.framework.problems import PluginProblem
from bots.framework.publishing import DESCRIPTION_FIELD, PUBLISHED, Appearance, Publisher
from bots.framework.switchboard import UnknownInstance
from bots.framework.tools.dev import Watcher, follow
from bots.store.switches import Switch, put, remove, room_scope, server_scope
from tests.unit.plugin_host import ALICE, ROOM, House, house, plugin

COFFEE = plugin(
    "coffee",
    """
summary = "Makes coffee."
Settings = Settings
def __init__(self, setup: Setup) -> None:
    self.settings = setup.settings
    self.lives = 0
async def start(self) -> None:
    self.lives += 1
async def stop(self) -> None:
    self.lives -= 1
@command("coffee", help="Order a coffee")
async def coffee(self, ctx: Context) -> None:
    ctx.say(f"A {self.settings.kind} for you")
@command("order", help="Order")
async def order(self, ctx: Context) -> None:
    ctx.start(self.ordering)
@dialog
async def ordering(self, d: Dialog) -> None:
    size = await d.ask("Which size?")
    await d.say(f"One {size}")
""",
    "from pydantic import BaseModel, SecretStr\n"
    "class Deep(BaseModel):\n    number: int = 1\n"
    "class Settings(BaseModel):\n    kind: str = 'latte'\n    cups: int = 1\n    token: SecretStr | None = None\n"
    "    deep: Deep = Deep()\n",
)
ONE = "bots:\n  - {plugin: coffee, localpart: coffee, display_name: Coffee}\n"


async def started(folder: Path, config: str, plugins: dict[str, str]) -> House:
    found = await house(folder, config, plugins)
    await found.host.start()
    return found


async def ended(found: House) -> None:
    await found.host.stop()
    await found.database.stop()


# What runs


async def test_instances_with_settings_of_their_own_and_one_that_joins(tmp_path: Path) -> None:
    config = """\
bots:
  - {plugin: coffee, localpart: coffee, display_name: Coffee}
  - {plugin: coffee, name: strong, localpart: strong, display_name: Strong, settings: {kind: espresso}}
  - {plugin: tea, joins: coffee}
  - {plugin: tea, name: off, localpart: off, display_name: Off, enabled: false}
"""
    tea = plugin("tea", "@command('tea', help='Tea')\nasync def tea(self, ctx: Context) -> None:\n    ctx.say('Tea')")
    found = await started(tmp_path, config, {"coffee.py": COFFEE, "tea.py": tea})
    assert found.host.problems == []
    assert found.host.consumer_names == ["coffee:@coffee:world", "strong:@strong:world", "tea:@coffee:world"]
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    assert await found.say("strong", "coffee") == ["A espresso for you"]
    event = found.event("tea")
    assert await found.hand("coffee", event) == []
    assert await found.hand("tea", event) == ["Tea"]
    help_page = "\n".join(await found.say("coffee", "help"))
    assert "Order a coffee" in help_page and "Tea" in help_page, "one table of commands"
    instance = found.host.instance("coffee")
    assert instance is not None
    object_of_it = instance.consumer.plugin
    assert object_of_it.lives == 1  # type: ignore[attr-defined]
    assert [entry.name for entry in found.host.directory.entries()] == ["Coffee", "Strong"]
    await ended(found)
    assert object_of_it.lives == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bot", "words"),
    [
        ("{plugin: cofee, OWN}", "is 'cofee', and there is no such plugin; did you mean 'coffee'?"),
        ("{plugin: broken, OWN}", "is 'broken', which cannot be used: "),
        ("{plugin: coffee, OWN, settings: {kin: x}}", "settings.kin is not known, did you mean kind?"),
        ("{plugin: coffee, OWN, settings: {cups: many}}", "settings.cups should be a valid integer"),
        (
            "{plugin: coffee, OWN, settings: {deep: {numbr: 1}}}",
            "settings.deep.numbr is not known, did you mean number?",
        ),
        ("{plugin: coffee, OWN, settings: {token: 5}}", "settings.token cannot be used"),
        ("{plugin: coffee, OWN, settings: {token: {file: gone}}}", "settings.token is to be read from 'gone', which"),
        ("{plugin: echo, OWN, settings: {a: 1}}", "settings.a is not known: the plugin takes no settings"),
        ("{plugin: coffee, OWN, scopes: [htp]}", "scopes[0] is wrong: 'htp' is no scope, did you mean 'http'?"),
        ("{plugin: caller, OWN}", "scopes lacks http, which caller needs"),
        ("{plugin: coffee, joins: off}", "joins joins 'off', which is not enabled"),
    ],
)
async def test_what_is_wrong_with_an_instance_names_the_line(tmp_path: Path, bot: str, words: str) -> None:
    config = f"""\
bots:
  - {{plugin: echo, name: fine, localpart: fine, display_name: Fine}}
  - {{plugin: echo, name: off, localpart: off, display_name: Off, enabled: false}}
  - {bot.replace("OWN", "localpart: x, display_name: X")}
"""
    caller = plugin("caller", "scopes = frozenset({'http'})")
    plugins = {"coffee.py": COFFEE, "caller.py": caller}
    if "broken" in bot:
        plugins["broken.py"] = "def oops(:"
    found = await started(tmp_path, config, plugins)
    problem = found.host.problems[-1]
    assert words in problem.reason
    assert (Path(problem.file).name, problem.line) == ("config.yaml", 7)
    assert "5" not in problem.reason or "token" not in bot, "a secret's value is not shown"
    assert await found.say("fine", "hello") == ["hello"], "the others run"
    assert found.metric("rialto_plugin_problems") == len(found.host.problems)
    assert plan(found.config).problems == tuple(found.host.problems), "`rialto check` says the same"
    infos = {info.name: info for info in found.host.switchboard.instances()}
    assert infos["fine"].problem == ""
    assert sum(bool(info.problem) for info in infos.values()) == 1
    await ended(found)


async def test_two_plugins_on_one_bot_with_one_command(tmp_path: Path) -> None:
    config = ONE + "  - {plugin: again, joins: coffee}\n"
    again = plugin("again", "@command('coffee', help='x')\nasync def coffee(self, ctx: Context) -> None: ...")
    found = await started(tmp_path, config, {"coffee.py": COFFEE, "again.py": again})
    (problem,) = found.host.problems
    assert "The command “coffee” is claimed by coffee" in problem.reason
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    await ended(found)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ("async def start(self) -> None:\n    await asyncio.sleep(3600)", "did not start within 0.05 s"),
        ("async def start(self) -> None:\n    raise ValueError('bad day')", "did not start: ValueError: bad day"),
        ("def __init__(self, setup: Setup) -> None:\n    1 / 0", "cannot be made: ZeroDivisionError"),
        ("def __init__(self, setup: Setup) -> None:\n    setup.service(int)", "has no scope that gives it int"),
    ],
)
async def test_one_that_does_not_start_is_left_out(tmp_path: Path, members: str, words: str) -> None:
    config = ONE + "  - {plugin: bad, joins: coffee}\nplugins: {start_timeout: 0.05}\n"
    bad = plugin("bad", members, "import asyncio\n")
    found = await started(tmp_path, config, {"coffee.py": COFFEE, "bad.py": bad})
    (problem,) = found.host.problems
    assert words in problem.reason
    assert problem.file == str(tmp_path / "plugins" / "bad.py")
    assert found.host.consumer_names == ["coffee:@coffee:world"]
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    await ended(found)


async def test_one_that_does_not_stop_does_not_keep_the_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = ONE + "  - {plugin: bad, joins: coffee}\nplugins: {start_timeout: 0.05}\n"
    bad = plugin("bad", "async def stop(self) -> None:\n    await asyncio.sleep(3600)", "import asyncio\n")
    found = await started(tmp_path, config, {"coffee.py": COFFEE, "bad.py": bad})
    instance = found.host.instance("coffee")
    await ended(found)
    assert instance is not None and instance.consumer.plugin.lives == 0  # type: ignore[attr-defined]
    assert "a plugin did not stop properly: TimeoutError" in caplog.text


async def test_secrets_come_from_files_and_are_never_logged(tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("very-secret-token\n")
    config = ONE.replace("Coffee}", "Coffee, settings: {token: {file: token.txt}}}")
    found = await house(tmp_path, config, {"coffee.py": COFFEE})
    (wanted,) = plan(found.config).wanted
    assert wanted.settings.token.get_secret_value() == "very-secret-token"
    assert "very-secret" not in repr(wanted.settings.token)
    (bot,) = found.config.bots
    wrong = bot.model_copy(update={"settings": {"token": ["very-secret-token"]}})
    (problem,) = plan(found.config.model_copy(update={"bots": (wrong,)})).problems
    assert "settings.token cannot be used" in problem.reason
    assert "very-secret" not in str(problem)
    await found.database.stop()


def test_permissions_are_checked_with_their_places(tmp_path: Path) -> None:
    from appservice.config import load_config
    from tests.unit.plugin_host import KEYS

    path = tmp_path / "config.yaml"
    path.write_text(KEYS + "permissions:\n  roles:\n    admin: '*'\n    oprator: x\n  rules: {coffee: staf}\n")
    with pytest.raises(ConfigError) as caught:
        read_permissions(load_config(path, {}))
    assert [str(each).partition("config.yaml")[2] for each in caught.value.problems] == [
        ":7: permissions.roles.oprator is not known, did you mean operator?"
    ]
    path.write_text(KEYS + "permissions:\n  roles:\n    admin: '*'\n")
    with pytest.raises(ConfigError, match=r"yaml:6: permissions\.roles\.admin must not have \*"):
        read_permissions(load_config(path, {}))
    path.write_text(KEYS + "permissions: {roles: {admin: '@a:world'}}\n")
    assert read_permissions(load_config(path, {})).allows("@a:world", "anything", default="operator")


# Where it runs


async def test_allow_lists(tmp_path: Path) -> None:
    config = ONE.replace("Coffee}", f"Coffee, rooms: ['{ROOM}'], servers: [world]}}")
    found = await started(tmp_path, config, {"coffee.py": COFFEE})
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    assert await found.say("coffee", "coffee", room="!other:world") == []
    assert await found.say("coffee", "coffee", sender="@eve:elsewhere") == []
    await ended(found)


async def test_switches_of_another_process_count_and_the_narrowest_wins(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    board = found.host.switchboard
    board._poll = 0.01

    async def decide(scope: str, enabled: bool | None) -> None:
        def work(connection: object) -> None:
            if enabled is None:
                remove(connection, "coffee", scope)  # type: ignore[arg-type]
            else:
                put(connection, Switch("coffee", scope, enabled))  # type: ignore[arg-type]

        await found.database.write(work)
        await board.refresh()

    assert await found.say("coffee", "coffee") == ["A latte for you"]
    await decide("", False)
    assert await found.say("coffee", "coffee") == []
    await decide(server_scope("world"), True)
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    await decide(room_scope(ROOM), False)
    assert await found.say("coffee", "coffee") == []
    assert await found.say("coffee", "coffee", room="!other:world") == ["A latte for you"]
    await decide("", None)
    assert await found.say("coffee", "coffee", room="!other:world", sender="@x:y") == ["A latte for you"]
    await ended(found)


async def test_the_running_service_follows_the_table_by_itself(tmp_path: Path) -> None:
    found = await house(tmp_path, ONE, {"coffee.py": COFFEE})
    found.host.switchboard._poll = 0.005
    await found.host.start()
    await found.database.write(lambda connection: put(connection, Switch("coffee", "", False)))
    async with asyncio.timeout(5):
        while found.host.switchboard.enabled("coffee"):
            await asyncio.sleep(0.005)
    assert await found.say("coffee", "coffee") == []
    await ended(found)


async def test_a_decision_in_a_unit_counts_at_its_commit(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    unit = UnitOfWork("$1", "hub", "@rialto:world")
    found.host.switchboard.set(unit, "coffee", False, by=ALICE)
    assert found.host.switchboard.enabled("coffee")
    for callback in unit.callbacks:
        callback()
    assert not found.host.switchboard.enabled("coffee", ROOM, "world")
    with pytest.raises(UnknownInstance):
        found.host.switchboard.set(unit, "tea", False, by=ALICE)
    await ended(found)


async def test_operators_switch_on_the_hub_and_others_do_not(tmp_path: Path) -> None:
    config = ONE + "  - {plugin: hub, localpart: rialto, display_name: Rialto}\n"
    config += "permissions: {roles: {operator: '@op:world'}}\n"
    found = await started(tmp_path, config, {"coffee.py": COFFEE})
    operator = {"sender": "@op:world"}
    assert "may not" in (await found.say("hub", "plugin disable coffee"))[0]
    assert "plugin disable" not in (await found.say("hub", "help"))[0]
    assert "plugin disable" in (await found.say("hub", "help", **operator))[0]
    assert await found.say("hub", "plugin disable coffee here", **operator) == [f"Disabled: coffee ({ROOM})."]
    assert await found.say("coffee", "coffee") == []
    assert await found.say("coffee", "coffee", room="!other:world") == ["A latte for you"]
    (listing,) = await found.say("hub", "plugins", **operator)
    assert f"• coffee (coffee, @coffee:world): runs; disabled: {ROOM}" in listing
    assert await found.say("hub", "plugin enable coffee here", **operator) == [f"Enabled: coffee ({ROOM})."]
    assert await found.say("coffee", "coffee") == ["A latte for you"]
    assert "no plugin “tea”" in (await found.say("hub", "plugin disable tea", **operator))[0]
    assert "is no place" in (await found.say("hub", "plugin disable coffee 'a b'", **operator))[0]
    assert "myself" in (await found.say("hub", "plugin disable hub", **operator))[0]
    assert await found.say("hub", "plugin disable coffee evil.example", **operator) == [
        "Disabled: coffee (evil.example)."
    ]
    assert await found.say("coffee", "coffee", sender="@eve:evil.example") == []
    await ended(found)


# What happens by itself


async def test_schedules_of_the_code_become_rows_once(tmp_path: Path) -> None:
    text = "@every(timedelta(hours={hours}))\nasync def tick(self, ctx: Context) -> None:\n    ctx.say('tick')\n"
    text += "@cron('0 9 * * *', zone='Europe/Berlin')\nasync def morning(self, ctx: Context) -> None: ..."
    before = "from datetime import timedelta\n"
    found = await started(tmp_path, ONE, {"coffee.py": plugin("coffee", text.replace("{hours}", "2"), before)})
    instance = found.host.instance("coffee")
    assert instance is not None
    scheduler = found.host._services.scheduler
    unit = UnitOfWork("$x", "x", "x")

    async def rows() -> dict[str, tuple[object, int]]:
        listed = await scheduler.of("coffee:@coffee:world", unit, "").list()
        return {each.key: (each.due, each.fired) for each in listed}

    first = await rows()
    assert sorted(first) == ["handler:morning", "handler:tick"]
    scheduler.clock.advance(hours=1)  # type: ignore[attr-defined]
    await found.host._own_schedules(instance.consumer)
    assert await rows() == first, "a restart does not begin them anew"
    changed = plugin("coffee", text.replace("{hours}", "3").partition("@cron")[0], before)
    (tmp_path / "plugins" / "coffee.py").write_text(changed)
    assert await found.host.reload("coffee") is None
    after = await rows()
    assert list(after) == ["handler:tick"]
    assert after["handler:tick"][0] - first["handler:tick"][0] == timedelta(hours=2)  # type: ignore[operator]
    await ended(found)


async def test_webhooks_are_there_with_the_secret_of_the_settings(tmp_path: Path) -> None:
    text = "Settings = Settings\n@webhook('paid', secret='key')\n"
    text += "async def paid(self, ctx: Context, call: object) -> None: ..."
    before = "from pydantic import BaseModel, SecretStr\nclass Settings(BaseModel):\n    key: SecretStr\n"
    config = ONE.replace("Coffee}", "Coffee, settings: {key: a-secret-of-sixteen}}")
    found = await started(tmp_path, config, {"coffee.py": plugin("coffee", text, before)})
    entry = found.webhooks._hooks["coffee", "paid"]
    assert (entry.hook.secret, entry.hook.consumer) == ("a-secret-of-sixteen", "coffee:@coffee:world")
    await found.host.reload("coffee")
    assert ("coffee", "paid") in found.webhooks._hooks
    await ended(found)


# Reloading


async def test_a_reload_goes_on_in_the_middle_of_a_conversation(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    assert await found.say("coffee", "order") == ["Which size?"]
    (tmp_path / "plugins" / "coffee.py").write_text(COFFEE.replace('f"One {size}"', 'f"Here is one {size}"'))
    assert await found.host.reload("coffee") is None
    assert await found.say("coffee", "large") == ["Here is one large"]
    await ended(found)


async def test_broken_code_is_not_taken(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    file = tmp_path / "plugins" / "coffee.py"
    for broken in ("def oops(:", COFFEE.replace("self.lives += 1", "raise ValueError"), "x = 1"):
        file.write_text(broken)
        problem = await found.host.reload("coffee")
        assert isinstance(problem, PluginProblem)
        assert problem.file == str(file)
        assert await found.say("coffee", "coffee") == ["A latte for you"]
    file.write_text(COFFEE.replace("A {self", "Another {self"))
    assert await found.host.reload("coffee") is None
    assert await found.say("coffee", "coffee") == ["Another latte for you"]
    assert (await found.host.reload("nothing")).code == "plugin_not_running"  # type: ignore[union-attr]
    await ended(found)


async def test_a_saved_file_is_running_within_a_second(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    file = tmp_path / "plugins" / "coffee.py"
    told: asyncio.Queue[str] = asyncio.Queue()
    following = asyncio.create_task(follow(file, lambda: found.host.reload("coffee"), tell=told.put_nowait))
    await asyncio.sleep(0.05)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    file.write_text(COFFEE.replace("A {self", "Another {self"))
    async with asyncio.timeout(5):
        word = await told.get()
    assert loop.time() - begin < 1
    assert word.startswith("coffee.py: reloaded in ")
    assert await found.say("coffee", "coffee") == ["Another latte for you"]
    file.write_text("def oops(:")
    async with asyncio.timeout(5):
        assert "the code of before goes on" in await told.get()
    following.cancel()
    await asyncio.wait([following])
    await ended(found)


def test_what_a_watcher_sees(tmp_path: Path) -> None:
    watcher = Watcher(tmp_path)
    assert watcher.changed() == []
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "notes.txt").write_text("1")
    assert watcher.changed() == [tmp_path / "a.py"]
    (tmp_path / "a.py").write_text("12")
    assert watcher.changed() == [tmp_path / "a.py"]
    (tmp_path / "a.py").unlink()
    assert watcher.changed() == [tmp_path / "a.py"]


# What bots look like


class Profiles:
    """A homeserver that keeps profiles, account data and state, and counts what is written."""

    def __init__(self) -> None:
        self.kept: dict[str, object] = {}
        self.writes: list[str] = []
        self.rooms = [ROOM, "!powerless:world"]

    async def request(self, method: str, path: str, *, user_id: str, body: object = None) -> object:
        from urllib.parse import unquote

        from appservice.homeserver import HomeserverError

        path = unquote(path)
        if path.endswith("/joined_rooms"):
            return {"joined_rooms": self.rooms}
        if method == "GET":
            if "/profile/" in path:
                fields = {key.rpartition("/")[2]: value for key, value in self.kept.items() if key.startswith(path)}
                return {name: value[name] for name, value in fields.items()}  # type: ignore[index]
            if path not in self.kept:
                raise HomeserverError(404, "M_NOT_FOUND", "no")
            return self.kept[path]
        self.writes.append(path.rpartition("/")[2] if "/profile/" in path or "account_data" in path else path)
        self.kept[path] = body
        return {}

    async def send_state(self, user_id: str, room_id: str, kind: str, key: str, content: object) -> str:
        from appservice.homeserver import HomeserverError

        if room_id != ROOM:
            raise HomeserverError(403, "M_FORBIDDEN", "no power")
        await self.request(
            "PUT", f"/_matrix/client/v3/rooms/{room_id}/state/{kind}/{key}", user_id=user_id, body=content
        )
        return "$state"


class Uploads:
    """Counts uploads."""

    count = 0

    async def upload(self, user_id: str, data: bytes, kind: str, *, encrypted: bool) -> object:
        from appservice.media.repository import Upload

        assert (kind, encrypted) == ("image/png", False)
        self.count += 1
        return Upload({"url": f"mxc://world/{self.count}"})


async def test_name_picture_description_and_commands_are_published_once(tmp_path: Path) -> None:
    found = await started(tmp_path, ONE, {"coffee.py": COFFEE})
    picture = tmp_path / "a.png"
    picture.write_bytes(b"one")
    homeserver, uploads = Profiles(), Uploads()
    publisher = Publisher(homeserver, uploads)  # type: ignore[arg-type]
    bot = found.host.users["coffee"]
    looks = Appearance(bot.user_id, "Coffee", "Makes coffee.", str(picture))
    await publisher.publish(bot, looks)
    names = [each for each in homeserver.writes if DESCRIPTION_TYPE not in each]
    assert names == ["displayname", PUBLISHED, "avatar_url", DESCRIPTION_FIELD, PUBLISHED]
    states = [each for each in homeserver.writes if DESCRIPTION_TYPE in each]
    assert len(states) == len(bot.commands.descriptions())
    assert all(ROOM in each for each in states)
    homeserver.writes.clear()
    await publisher.publish(bot, looks)
    assert homeserver.writes == []
    assert uploads.count == 1
    picture.write_bytes(b"two")
    await publisher.publish(bot, looks)
    assert uploads.count == 2
    assert homeserver.writes == [PUBLISHED, "avatar_url", PUBLISHED]
    homeserver.writes.clear()
    (tmp_path / "plugins" / "coffee.py").write_text(COFFEE.replace('"coffee", help', '"espresso", help'))
    assert await found.host.reload("coffee") is None
    await publisher.publish(bot, looks)
    changed = [path for path in homeserver.writes if DESCRIPTION_TYPE in path]
    assert [homeserver.kept[path] for path in changed if not homeserver.kept[path]] == [{}], "the old one is emptied"
    assert len(changed) == 2
    await ended(found)


async def test_a_plugin_error_is_an_error_of_ours(tmp_path: Path) -> None:
    from bots.framework.problems import PluginError

    error = PluginError([PluginProblem("x", "is broken", file="f.py", line=3)])
    assert isinstance(error, RialtoError)
    assert str(error) == "f.py:3: plugin x: is broken"
