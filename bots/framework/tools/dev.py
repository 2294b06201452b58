"""``rialto plugin dev``: a plugin on the local stack, loaded anew whenever one of its files is saved.

The service runs here, in place of the stack's own one, with the plugin as one more bot
(``@STEWARD_dev_NAME``, a name that the stack's registration covers already) and with every run of a dialog replayed at
once, so that what is not deterministic shows. The plugin's new code takes over between two events; conversations lie in
the database and go on.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp

from appservice.commands.common import UsageError, say
from appservice.config import Config
from appservice.config.models import Bot
from bots.framework.discovery import Candidate, Found, candidates, load_candidate
from bots.framework.problems import PluginProblem

if TYPE_CHECKING:
    from appservice.local.layout import Layout

LOOK_S: Final = 0.1
"""Seconds between two looks at the files."""
_WATCHED: Final = frozenset({".py", ".po", ".json", ".toml"})


def with_plugin(config: Config, path: Path, settings: Mapping[str, str]) -> tuple[Config, str]:
    """The configuration with the plugin at ``path`` as one more bot, and the name of its instance.

    A bot that the configuration has for it already is taken as it is.

    Raises:
        PluginError: it cannot be loaded.
        UsageError: there is not exactly one plugin.
    """
    candidate, found = _one(path)
    folders = (*config.plugins.folders, str(_folder_of(path, candidate)))
    config = config.model_copy(update={"plugins": config.plugins.model_copy(update={"folders": folders})})
    for index, bot in enumerate(config.bots):
        if bot.plugin == found.name and bot.enabled:
            changed = bot.model_copy(update={"settings": {**bot.settings, **settings}})
            bots = (*config.bots[:index], changed, *config.bots[index + 1 :])
            return config.model_copy(update={"bots": bots}), bot.instance
    name = f"dev-{found.name}"
    localpart = f"{config.appservice.sender_localpart}_dev_{re.sub(r'[^a-z0-9._-]', '-', found.name)}"
    added = Bot(
        plugin=found.name,
        name=name[:64],
        localpart=localpart,
        display_name=f"{found.name.replace('-', ' ').replace('_', ' ').capitalize()} (dev)",
        settings=dict(settings),
        scopes=tuple(sorted(found.plugin.scopes)),
    )
    return config.model_copy(update={"bots": (*config.bots, added)}), added.instance


def settings_of(pairs: Iterable[str]) -> dict[str, str]:
    """``KEY=VALUE`` as a mapping.

    Raises:
        UsageError: there is no ``=``.
    """
    found = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"a setting is given as KEY=VALUE, not {pair!r}")
        found[key] = value
    return found


def _one(path: Path) -> tuple[Candidate, Found]:
    there = candidates(path)
    if len(there) != 1:
        names = ", ".join(each.name or each.root.stem for each in there) or "none"
        raise UsageError(f"{path} needs to be one plugin; there is {names}")
    return there[0], load_candidate(there[0])


def _folder_of(path: Path, candidate: Candidate) -> Path:
    return path.absolute() if candidate.name else candidate.root


class Watcher:
    """Notices that files were saved, by their times and sizes."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._seen = self._look()

    def changed(self) -> list[Path]:
        """The files that are new, gone or different since the last time."""
        now = self._look()
        before, self._seen = self._seen, now
        return sorted(file for file in now.keys() | before.keys() if now.get(file) != before.get(file))

    def _look(self) -> dict[Path, tuple[int, int]]:
        files = [self._root] if self._root.is_file() else self._root.rglob("*")
        found = {}
        for file in files:
            if file.suffix in _WATCHED and "__pycache__" not in file.parts:
                try:
                    stat = file.stat()
                except OSError:
                    continue  # an editor replaces it right now
                found[file] = (stat.st_mtime_ns, stat.st_size)
        return found


async def follow(
    root: Path,
    reload: Callable[[], Awaitable[PluginProblem | None]],
    warnings: Callable[[], Iterable[PluginProblem]] = tuple,
    tell: Callable[[str], None] = say,
) -> None:
    """Reload whenever a file below ``root`` is saved, and say how it went. Ends by being cancelled.

    Args:
        warnings: what is wrong with the code that was loaded and does not hinder it.
    """
    watcher = Watcher(root)
    while True:
        await asyncio.sleep(LOOK_S)
        changed = await asyncio.to_thread(watcher.changed)
        if not changed:
            continue
        begin = time.perf_counter()
        problem = await reload()
        names = ", ".join(file.name for file in changed[:3]) + (" …" if len(changed) > 3 else "")
        if problem is not None:
            tell(f"{names}: the code of before goes on:\n  {problem}")
            continue
        tell(f"{names}: reloaded in {(time.perf_counter() - begin) * 1000:.0f} ms")
        for warning in warnings():
            tell(f"  {warning}")


@asynccontextmanager
async def stack(layout: Layout, config: Config) -> AsyncIterator[None]:
    """The homeserver of the local stack, for as long as the context lasts; one that answers already is used.

    Raises:
        UsageError: the stack runs, with a service of its own.
        LocalError: it cannot be started.
    """
    from appservice.local.accounts import ensure_people
    from appservice.local.prepare import prepare
    from appservice.local.process import ProcessId
    from appservice.local.synapse import Synapse, answers

    if ProcessId.read(layout.pid_file("supervisor")) is not None:
        raise UsageError(f"the stack in {layout.data} runs with a service of its own: `rialto down` first")
    async with aiohttp.ClientSession() as session:
        there = await answers(session, f"{config.homeserver.url}/_matrix/client/versions")
    if there:
        yield
        return
    with layout.locked():
        prepared = await prepare(layout, say)
        synapse = Synapse(prepared.synapse, prepared.python)
        say("starting Synapse")
        await synapse.start()
        try:
            await ensure_people(layout, synapse.settings, say)
            yield
        finally:
            await synapse.stop()
