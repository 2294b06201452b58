"""Runs the plugins of a service: makes them, starts and stops them, contains them, and reloads them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from appservice.config import Config
from appservice.config.models import Bot
from appservice.events import InternalEvent
from appservice.homeserver import Homeserver
from appservice.media import Media
from appservice.metrics import Metrics
from bots.framework import plugin_tables
from bots.framework.bot import BotUser
from bots.framework.breaker import BreakerSettings
from bots.framework.commands import CommandConflict
from bots.framework.consumer import PluginConsumer
from bots.framework.containment import REPORT, Contained, Limits, Watchdog
from bots.framework.directory import Directory, ServiceEntry
from bots.framework.discovery import Candidate, Found, load_candidate
from bots.framework.installing import Installer, hooks_of, schedules_of
from bots.framework.instances import Plan, Wanted
from bots.framework.plugin import Setup
from bots.framework.problems import PluginError, PluginProblem, Sources, of_exception
from bots.framework.publishing import Appearance, Publisher
from bots.framework.services import Services
from bots.framework.switchboard import InstanceInfo, Switchboard
from bots.framework.webhooks import Hook, Webhooks

if TYPE_CHECKING:
    from bots.framework.remote.consumer import RemoteConsumer
    from bots.framework.remote.standing import Standing

log = logging.getLogger(__name__)

_MARGIN: Final = 0.95
"""Of the engine's time limit: ours comes first, and so the plugin is known that needed it."""

Provided = Mapping[str, Mapping[type, Any]]
"""What each scope gives a plugin, by type."""


@dataclass(slots=True)
class Instance:
    """A plugin that runs."""

    wanted: Wanted
    consumer: PluginConsumer
    contained: Contained
    hooks: list[Hook]


class Host:
    """The plugins of one service. :meth:`start` it when the database is there, then dispatch to ``consumers``."""

    def __init__(
        self,
        config: Config,
        plan: Plan,
        services: Services,
        provided: Provided,
        *,
        metrics: Metrics,
        homeserver: Homeserver,
        media: Media,
        webhooks: Webhooks | None = None,
        raise_events: Callable[[Callable[[Any], list[InternalEvent]]], Awaitable[object]],
    ) -> None:
        """
        Args:
            services: what consumers are made with; a plugin without the scope for one does not get it.
            provided: what plugins get by their scopes, beside the directory of bots and the switchboard.
            raise_events: ``Service.raise_events``.
        """
        self._config = config
        self._plan = plan
        self._services = services
        self._metrics = metrics
        self._installer = Installer(services, webhooks)
        self._raise_events = raise_events
        self._publisher = Publisher(homeserver, media)
        self._instances: dict[str, Instance] = {}
        self._outside: dict[str, Standing] = {}
        self._reports = 0
        self._published = False
        self._migrating = asyncio.Lock()
        self._tasks: set[asyncio.Task[object]] = set()
        self.problems = list(plan.problems)
        self.directory = Directory(self._entries)
        self.switchboard = Switchboard(services.database, self._infos, services.clock.now_ms)
        self._provided: Provided = {
            **provided,
            "services.list": {Directory: self.directory},
            "admin.plugins": {Switchboard: self.switchboard},
        }
        self.users = {
            bot.localpart: BotUser(f"@{bot.localpart}:{config.homeserver.server_name}", bot.display_name or "")
            for bot in config.users
            if bot.enabled
        }
        self.consumers: list[Contained] = []
        """Those that run, filled by :meth:`start`."""
        self._watchdog = Watchdog(lambda: plan.discovery.sources, self._blocked)

    @property
    def consumer_names(self) -> list[str]:
        """The names of the consumers that run."""
        return [consumer.name for consumer in self.consumers]

    @property
    def present(self) -> list[str]:
        """The names of the consumers that take events now: schedules of others stay due until they are back, and then
        catch up, instead of piling up events.
        """
        away = {each.consumer.name for each in self._outside.values() if not each.consumer.connected}
        return [consumer.name for consumer in self.consumers if consumer.name not in away]

    @property
    def sources(self) -> Sources:
        """Which files belong to which plugin."""
        return self._plan.discovery.sources

    def instance(self, name: str) -> Instance | None:
        """An instance that runs."""
        return self._instances.get(name)

    def outside(self, name: str) -> Standing | None:
        """An instance that runs outside this process."""
        return self._outside.get(name)

    # Life

    def join(self, consumers: Iterable[RemoteConsumer]) -> None:
        """Plugins outside stand among those inside from :meth:`start` on."""
        # Only where there are any: it takes time and memory at every start.
        from bots.framework.remote.standing import Standing

        bots = {bot.instance: bot for bot in self._config.bots}
        for consumer in consumers:
            bot = bots[consumer.instance]
            self._outside[consumer.instance] = Standing(
                bot, consumer, self._contained(consumer, bot), self._installer, self._services.store, self._changed
            )

    def _changed(self, standing: Standing) -> None:
        """What a plugin outside looks like has changed, or is known at last."""
        if self._published:
            localpart = standing.bot.localpart
            self._publisher.again({localpart: (standing.consumer.bot, self._appearance(localpart))})

    async def start(self) -> None:
        """Make and start every plugin. One that raises or hangs is left out, and said so; the others run."""
        await self.switchboard.start()
        self._watchdog.start()
        made = [each for wanted in self._plan.wanted if (each := self._make(wanted)) is not None]
        started = await asyncio.gather(*(self._begin(wanted, consumer) for wanted, consumer in made))
        for (wanted, consumer), hooks in zip(made, started, strict=True):
            if hooks is not None:
                self._add(wanted, consumer, hooks)
        for standing in self._outside.values():
            await standing.recall()
            self.consumers.append(standing.contained)
        for problem in self.problems:
            log.log(
                logging.ERROR if problem.fatal else logging.WARNING,
                "%s",
                problem,
                extra={"plugin": problem.plugin, "code": problem.code},
            )
        self._metrics.plugin_problems.set(len(self.problems))

    def publish(self) -> None:
        """Publish names, pictures, descriptions and commands in the background."""
        self._published = True
        # Of a plugin outside that has never been here nobody knows what it understands: nothing is taken back.
        unknown = {each.bot.localpart for each in self._outside.values() if each.consumer.manifest is None}
        known = {name: user for name, user in self.users.items() if name not in unknown}
        self._publisher.start({name: (user, self._appearance(name)) for name, user in known.items()})

    def _appearance(self, localpart: str) -> Appearance:
        bot = next(bot for bot in self._config.users if bot.localpart == localpart)
        user = self.users[localpart]
        return Appearance(user.user_id, user.display_name, self._description(bot.instance), bot.avatar)

    async def stop(self) -> None:
        """Stop every plugin, each within its time. Call it when no more events are handled."""
        await self._publisher.stop()
        await self.switchboard.stop()
        self._watchdog.stop()
        for standing in self._outside.values():
            await standing.stop()
        for name, instance in reversed(self._instances.items()):
            try:
                async with asyncio.timeout(self._config.plugins.start_timeout):
                    await instance.consumer.plugin.stop()
            except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and the others are to stop too
                log.warning("a plugin did not stop properly: %s", type(error).__name__, extra={"plugin": name})
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _make(self, wanted: Wanted) -> tuple[Wanted, PluginConsumer] | None:
        """The plugin's object with its consumer; None when it cannot be made."""
        user = self.users[wanted.user.localpart]
        try:
            plugin = wanted.found.plugin.create(self._setup(wanted, user))
            consumer = self._consumer(wanted, plugin, user)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the others start
            self.problems.append(of_exception(wanted.instance, error, wanted.found.root, "cannot be made"))
            return None
        user.consumers.append(consumer)
        try:
            user.rebuild()
        except CommandConflict as error:
            self._leave_out(wanted, consumer, of_exception(wanted.instance, error, wanted.found.root, ""))
            return None
        return wanted, consumer

    async def _begin(self, wanted: Wanted, consumer: PluginConsumer) -> list[Hook] | None:
        """Start the plugin within its time; its webhooks, or None when it is left out."""
        seconds = self._config.plugins.start_timeout
        limit = asyncio.timeout(seconds)
        try:
            tables = plugin_tables.tables_of(type(consumer.plugin))
            if tables is not None:
                async with self._migrating:  # instances of one plugin share its tables
                    await plugin_tables.upgrade(self._services.database, tables)
            async with limit:
                await consumer.plugin.start()
            await self._own_schedules(consumer)
            return self._hooks(wanted, consumer)
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises, the others start
            problem = of_exception(wanted.instance, error, wanted.found.root, "did not start")
            if limit.expired():
                problem = replace(problem, reason=f"did not start within {seconds:g} s", code="plugin_start_timeout")
            self._leave_out(wanted, consumer, problem)
            return None

    def _leave_out(self, wanted: Wanted, consumer: PluginConsumer, problem: PluginProblem) -> None:
        consumer.bot.consumers.remove(consumer)
        consumer.bot.rebuild()
        self.problems.append(problem)

    def _add(self, wanted: Wanted, consumer: PluginConsumer, hooks: list[Hook]) -> None:
        contained = self._contained(consumer, wanted.bot)
        self._instances[wanted.instance] = Instance(wanted, consumer, contained, hooks)
        self.consumers.append(contained)

    def _contained(self, consumer: PluginConsumer | RemoteConsumer, bot: Bot) -> Contained:
        self._metrics.plugin_paused.labels(consumer.instance).set(0)
        return Contained(consumer, self._limits(bot), self._metrics, self._report, joined=self._publisher.joined)

    def _setup(self, wanted: Wanted, user: BotUser) -> Setup:
        services = {kind: each for scope in wanted.scopes for kind, each in self._provided.get(scope, {}).items()}
        return Setup(wanted.instance, user.user_id, wanted.settings, services)

    def _consumer(self, wanted: Wanted, plugin: Any, user: BotUser) -> PluginConsumer:
        scopes, domain = wanted.scopes, wanted.found.domain
        services = replace(
            self._services,
            chats=self._services.chats if "rooms.create" in scopes else None,
            payments=self._services.payments if "payments.charge" in scopes else None,
        )
        if (locales := wanted.found.locales) is not None:
            self._services.catalogues.add(domain, locales)
        bot = wanted.bot
        rooms, servers = frozenset(bot.rooms), frozenset(bot.servers)

        def enabled(room_id: str, server: str) -> bool:
            return (
                (not rooms or room_id in rooms)
                and (not servers or server in servers)
                and self.switchboard.enabled(bot.instance, room_id, server)
            )

        return PluginConsumer(
            bot.instance, plugin, user, services, enabled=enabled, domain=domain if locales is not None else ""
        )

    def _limits(self, bot: Bot) -> Limits:
        settings = self._config.plugins
        engine = self._config.engine.handler_timeout * _MARGIN
        return Limits(
            timeout=min(bot.handler_timeout or engine, engine),
            effects=settings.effects,
            effects_per_minute=settings.effects_per_minute,
            breaker=BreakerSettings(
                settings.failures, settings.failure_window, settings.pause, max(settings.pause, settings.pause_max)
            ),
        )

    # What stands in the code of plugins and happens by itself

    def _hooks(self, wanted: Wanted, consumer: PluginConsumer, before: Sequence[Hook] = ()) -> list[Hook]:
        return self._installer.hooks(hooks_of(consumer, wanted.user.localpart, wanted.settings), before)

    async def _own_schedules(self, consumer: PluginConsumer) -> None:
        now = self._services.scheduler.clock.now_ms()
        await self._installer.schedules(consumer, schedules_of(consumer, now))

    # Reloading

    async def reload(self, name: str) -> PluginProblem | None:
        """Load the code of an instance anew and go on with it, between two events; None, or why the old one stays.

        Conversations that wait go on: they lie in the database.
        """
        instance = self._instances.get(name)
        if instance is None:
            return PluginProblem(name, "it does not run: start again", "plugin_not_running")
        wanted, consumer = instance.wanted, instance.consumer
        candidate = Candidate(wanted.found.root, wanted.found.name, _attribute(wanted.found))
        try:
            found = load_candidate(candidate)
            fresh = replace(wanted, found=found)
            plugin = found.plugin.create(self._setup(fresh, consumer.bot))
            async with asyncio.timeout(self._config.plugins.start_timeout):
                await plugin.start()
        except PluginError as error:
            return error.problems[0]
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            return of_exception(name, error, wanted.found.root, "did not start")
        before = consumer.plugin
        try:
            consumer.replace(plugin)
        except CommandConflict as error:
            consumer.replace(before)
            return of_exception(name, error, wanted.found.root, "did not start")
        if found.locales is not None:
            self._services.catalogues.add(found.domain, found.locales)
        instance.wanted = fresh
        instance.contained.breaker = type(instance.contained.breaker)(instance.contained.limits.breaker)
        self._metrics.plugin_paused.labels(name).set(0)
        instance.hooks = self._hooks(fresh, consumer, instance.hooks)
        if self._published:
            localpart = wanted.user.localpart
            self._publisher.again({localpart: (consumer.bot, self._appearance(localpart))})
        await self._own_schedules(consumer)
        try:
            async with asyncio.timeout(self._config.plugins.start_timeout):
                await before.stop()
        except Exception as error:  # noqa: BLE001 - the old code is gone either way
            log.warning("the code of before did not stop properly: %s", type(error).__name__, extra={"plugin": name})
        return None

    # What operators see

    def _infos(self) -> list[InstanceInfo]:
        problems = {problem.plugin: problem for problem in self.problems if problem.fatal}
        infos = []
        for bot in self._config.bots:
            if not bot.enabled:
                continue
            outside = self._outside.get(bot.instance)
            instance = self._instances.get(bot.instance) or outside
            problem = problems.get(bot.instance) or problems.get(bot.plugin)
            reason = "" if instance is not None else str(problem) if problem is not None else "it does not run"
            user = f"@{bot.localpart or bot.joins}:{self._config.homeserver.server_name}"
            infos.append(
                InstanceInfo(
                    bot.instance,
                    bot.plugin,
                    user,
                    instance is not None and instance.contained.paused,
                    reason,
                    outside is not None and not outside.consumer.connected,
                )
            )
        return infos

    def _entries(self) -> list[ServiceEntry]:
        """Every bot that runs; of those outside the ones of which is known what they are."""
        entries = []
        for bot in self._config.bots:
            instance, outside = self._instances.get(bot.instance), self._outside.get(bot.instance)
            if not bot.localpart or (instance is None and (outside is None or outside.consumer.manifest is None)):
                continue
            domain = instance.wanted.found.domain if instance is not None else ""
            user = self.users[bot.localpart].user_id
            entries.append(ServiceEntry(user, bot.display_name or "", self._description(bot.instance), domain))
        return entries

    def _description(self, name: str) -> str:
        bot = next(bot for bot in self._config.bots if bot.instance == name)
        if bot.description:
            return bot.description
        if (outside := self._outside.get(name)) is not None:
            return outside.consumer.manifest.summary if outside.consumer.manifest is not None else ""
        instance = self._instances.get(name)
        return instance.wanted.found.plugin.summary if instance is not None else ""

    def _blocked(self, name: str) -> None:
        instance = self._instances.get(name) or self._outside.get(name)
        if instance is not None:
            instance.contained.blocked()

    def _report(self, name: str, text: str, level: int) -> None:
        log.log(level, "plugin %s: %s", name, text, extra={"plugin": name})
        room = self._config.operators.room
        if not room or not self.consumers:
            return
        self._reports += 1
        event = InternalEvent(
            key=f"report:{name}:{self._services.clock.now_ms()}:{self._reports}",
            consumer=self.consumers[0].name,
            room_id=room,
            type=REPORT,
            content={"text": f"{name}: {text}"},
        )
        task: asyncio.Task[object] = asyncio.create_task(self._raise(event), name="operator-report")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _raise(self, event: InternalEvent) -> object:
        try:
            return await self._raise_events(lambda _connection: [event])
        except Exception as error:  # noqa: BLE001 - the log has it already
            log.warning("operators could not be told: %s", type(error).__name__)
            return None


def _attribute(found: Found) -> str:
    """``module:Class`` within the package: the code is loaded anew by the class's name."""
    inner = found.plugin.__module__.removeprefix(found.module).lstrip(".")
    return f"{inner}:{found.plugin.__name__}"
