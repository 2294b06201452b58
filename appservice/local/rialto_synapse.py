"""Rialto's module in Synapse: people's privacy settings, enforced where messages pass.

One file without dependencies: put it on Synapse's Python path and name it in ``homeserver.yaml``:

    modules:
      - module: rialto_synapse.RialtoModule
        config:
          registration: /data/registration.yaml   # Rialto's own: its address and both tokens stand there
          when_away: allow                        # allow | deny: what happens while Rialto does not answer
          timeout: 2                              # seconds that an answer may take
          enforce: [receipts, presence, redactions]   # what of these three it does; all unless said

What it does, by Synapse's module API (spam-checker callbacks):

* An invitation of a person by a person is put to Rialto first, as are calls that are not encrypted, and joins where
  Rialto asks to hear of them.
* Rialto has invitations made that a person has accepted as a message request, login tokens, and entries of people's
  ignore lists: ``POST /_rialto/v1/…`` at this homeserver, with the application service's token.

Synapse empties redacted events (after ``redaction_retention_period``) by 100 every five minutes; with ``redactions``
the module has it go on every five seconds, or the content of messages with a timer would stay for days where many are.

Synapse's module API has nothing for receipts, presence and this. For these three the module wraps methods of Synapse's
handlers, when they look as in the releases it was tested with; else it says so in the log and leaves them alone.

Several Rialtos may share a homeserver: ``registration`` is a list then, and each is asked from its first call on.
"""

from __future__ import annotations

import hmac
import inspect
import logging
import re
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # Synapse brings it
from synapse.module_api import NOT_SPAM as _NOT_SPAM
from synapse.module_api import (
    DirectServeJsonResource,
    ModuleApi,
    make_deferred_yieldable,
    parse_json_object_from_request,
    run_in_background,
)
from synapse.module_api.errors import Codes, ConfigError, SynapseError
from twisted.internet import reactor
from twisted.web.resource import Resource

logger = logging.getLogger(__name__)

VERSION = 1
PATH = "/_rialto/v1"
AWAY_S = 5.0
"""Seconds that a Rialto which did not answer is not asked again."""
RULES_S = 60.0
"""Seconds that a person's rules are remembered. Rialto says when they change."""
MOST_RULES = 50_000
"""People whose rules are remembered."""
MOST_ASKED = 500
"""People whose rules are asked for at once."""
SMALL_ROOM = 10
"""Members of a room of which a call is told to Rialto with their names."""
RTC = frozenset({"m.call.member", "org.matrix.msc3401.call.member"})
NOT_SPAM: str = _NOT_SPAM
Verdict = str | tuple[Codes, dict[str, Any]]
SLOW_MODE = "chat.rialto.slow_mode"
SPOKEN = frozenset({"m.room.message", "m.room.encrypted", "m.sticker", "m.poll.start", "org.matrix.msc3381.poll.start"})
ENFORCED = ("receipts", "presence", "redactions")
CENSOR_MS = 5_000


class Service:
    """A Rialto, as its registration says."""

    def __init__(self, registration: Mapping[str, Any], server_name: str, eager: bool) -> None:
        self.url = str(registration["url"]).rstrip("/")
        self.as_token = str(registration["as_token"])
        self.headers = {b"Authorization": [b"Bearer " + str(registration["hs_token"]).encode("ascii")]}
        self.eager = eager
        self.known = eager
        """Whether it is asked: one of several only once it has called."""
        self.away_until = 0.0
        self.checks: Iterable[str] = ("invite", "call")
        """What it wants to be asked."""
        self.slow: set[str] = set()
        """The rooms in which people have to wait between two messages."""
        users = registration.get("namespaces", {}).get("users", [])
        patterns = [str(entry["regex"]) for entry in users if entry.get("exclusive")]
        steward = re.escape(f"@{registration['sender_localpart']}:{server_name}")
        self._ours = re.compile("|".join([f"(?:{steward})$", *(f"(?:{one})$" for one in patterns)]))

    def owns(self, user_id: str) -> bool:
        """Whether a user is its steward or one of its bots."""
        return self._ours.match(user_id) is not None


class RialtoModule:
    """The module. Synapse makes one for each entry of ``modules`` and in each of its processes."""

    def __init__(self, config: Mapping[str, Any], api: ModuleApi) -> None:
        self._api = api
        self._deny = config["when_away"] == "deny"
        self._timeout = config["timeout"]
        registrations = config["registrations"]
        self.services = [Service(each, api.server_name, len(registrations) == 1) for each in registrations]
        self._rules: OrderedDict[str, tuple[float, Mapping[str, Any]]] = OrderedDict()
        self.enforces: list[str] = []
        self._enforce(config["enforce"])
        api.register_spam_checker_callbacks(
            user_may_invite=self.user_may_invite,
            federated_user_may_invite=self.federated_user_may_invite,
            user_may_join_room=self.user_may_join_room,
            check_event_for_spam=self.check_event_for_spam,
        )
        root = Resource()
        for name in ("hello", "forget", "invite", "login_token", "ignore"):
            root.putChild(name.encode("ascii"), Endpoint(self, getattr(self, "on_" + name)))
        api.register_web_resource(PATH, root)

    @staticmethod
    def parse_config(config: Any) -> dict[str, Any]:
        """Check the configuration; what is wrong keeps Synapse from starting, with a word."""
        config = config or {}
        unknown = set(config) - {"registration", "when_away", "timeout", "enforce"}
        if unknown:
            raise ConfigError(f"rialto_synapse: unknown key {sorted(unknown)[0]}")
        names = config.get("registration")
        names = [names] if isinstance(names, str) else names
        if not names or not all(isinstance(name, str) for name in names):
            raise ConfigError("rialto_synapse: registration is the path of Rialto's registration file")
        registrations = []
        for name in names:
            try:
                with Path(name).open(encoding="utf-8") as file:
                    found = yaml.safe_load(file)
                for key in ("url", "as_token", "hs_token", "sender_localpart"):
                    found[key]
            except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
                raise ConfigError(f"rialto_synapse: {name} is not a registration: {error!r}") from error
            registrations.append(found)
        when_away, enforce, timeout = (
            config.get("when_away", "allow"),
            config.get("enforce", list(ENFORCED)),
            config.get("timeout", 2),
        )
        if when_away not in ("allow", "deny"):
            raise ConfigError("rialto_synapse: when_away is allow or deny")
        if not isinstance(enforce, list) or set(enforce) - set(ENFORCED):
            raise ConfigError("rialto_synapse: enforce is a list of: " + ", ".join(ENFORCED))
        if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not 0 < timeout <= 30:
            raise ConfigError("rialto_synapse: timeout is seconds, 30 at most")
        return {"registrations": registrations, "when_away": when_away, "enforce": enforce, "timeout": timeout}

    # What Synapse asks

    async def user_may_invite(self, inviter: str, invitee: str, room_id: str) -> Verdict:
        """Whether somebody of this homeserver may invite somebody. Bots invite, and are invited, as they are wanted."""
        if any(service.owns(inviter) or service.owns(invitee) for service in self.services):
            return NOT_SPAM
        if not self._api.is_mine(invitee):
            return NOT_SPAM
        asked = await self._room(room_id)
        return await self._verdict("invite", {"sender": inviter, "target": invitee, "room_id": room_id, **asked})

    async def federated_user_may_invite(self, event: Any) -> Verdict:
        """Whether somebody of another homeserver may invite somebody of this one."""
        invitee = event.state_key
        if any(service.owns(invitee) for service in self.services):
            return NOT_SPAM
        name, rule = "", ""
        for state in event.unsigned.get("invite_room_state", []):
            content = state.get("content", {}) if isinstance(state, Mapping) else {}
            if state.get("type") == "m.room.name":
                name = str(content.get("name", ""))
            elif state.get("type") == "m.room.join_rules":
                rule = str(content.get("join_rule", ""))
        direct = bool(event.content.get("is_direct")) or not (name or rule == "public")
        asked = {"sender": event.sender, "target": invitee, "room_id": event.room_id, "name": name, "direct": direct}
        return await self._verdict("invite", asked)

    async def user_may_join_room(self, user_id: str, room_id: str, is_invited: bool) -> Verdict:
        """Whether somebody may join; asked of Rialtos that want to hear of it."""
        if any(service.owns(user_id) for service in self.services):
            return NOT_SPAM
        if is_invited:
            await self._accepted(user_id, room_id)
        if not any("join" in service.checks for service in self.services if service.known):
            return NOT_SPAM
        return await self._verdict("join", {"sender": user_id, "room_id": room_id, "invited": is_invited})

    async def _accepted(self, user_id: str, room_id: str) -> None:
        """Who accepts an invitation into a direct chat has a contact."""
        try:
            state = await self._api.get_room_state(room_id, [("m.room.member", user_id)])
        except Exception as error:  # noqa: BLE001 - a room of another homeserver, of which nothing is known yet
            logger.debug("an invitation is not known: %s", type(error).__name__)
            return
        invitation = state.get(("m.room.member", user_id))
        if invitation is None or invitation.membership != "invite" or not invitation.content.get("is_direct"):
            return
        for service in self.services:
            if service.known and "contact" in service.checks and not service.owns(invitation.sender):
                await self._ask(service, "contact", {"user_id": user_id, "other": invitation.sender})

    async def check_event_for_spam(self, event: Any) -> Verdict:
        """Called for every event: only calls, and messages in slow chats, cost more than a look at type and room."""
        if event.type in SPOKEN:
            return await self._spoken(event)
        if event.type == SLOW_MODE:
            for service in self.services:
                if service.owns(event.sender):
                    (service.slow.add if event.content.get("seconds") else service.slow.discard)(event.room_id)
            return NOT_SPAM
        if event.type != "m.call.invite" and event.type not in RTC:
            return NOT_SPAM
        if event.is_state() and not event.content:
            return NOT_SPAM  # hanging up
        if any(service.owns(event.sender) for service in self.services) or not self._api.is_mine(event.sender):
            return NOT_SPAM
        state = await self._api.get_room_state(event.room_id, [("m.room.member", None), (event.type, None)])
        members = [
            one.state_key
            for (kind, _), one in state.items()
            if kind == "m.room.member" and one.membership == "join" and one.state_key != event.sender
        ]
        answering = any(
            kind == event.type and one.content and one.sender != event.sender for (kind, _), one in state.items()
        )
        if answering or not members or len(members) > SMALL_ROOM:
            return NOT_SPAM
        return await self._verdict("call", {"sender": event.sender, "room_id": event.room_id, "members": members})

    async def _spoken(self, event: Any) -> Verdict:
        """A message. Where people have to wait Rialto knows who spoke when; edits need not wait."""
        relation = event.content.get("m.relates_to")
        if not any(event.room_id in service.slow for service in self.services) or not self._api.is_mine(event.sender):
            return NOT_SPAM
        if isinstance(relation, Mapping) and relation.get("rel_type") == "m.replace":
            return NOT_SPAM
        if any(service.owns(event.sender) for service in self.services):
            return NOT_SPAM
        return await self._verdict("message", {"sender": event.sender, "room_id": event.room_id})

    async def _room(self, room_id: str) -> dict[str, Any]:
        """What kind of room an invitation is into: one of two people has no name and is not open."""
        wanted = [("m.room.name", ""), ("m.room.join_rules", ""), ("m.room.create", "")]
        state = await self._api.get_room_state(room_id, wanted)

        def content(kind: str) -> Mapping[str, Any]:
            event = state.get((kind, ""))
            return {} if event is None else event.content

        name = str(content("m.room.name").get("name") or "")
        public = content("m.room.join_rules").get("join_rule") == "public"
        space = content("m.room.create").get("type") is not None
        return {"name": name, "direct": not (name or public or space)}

    async def _verdict(self, check: str, asked: Mapping[str, Any]) -> Verdict:
        for service in self.services:
            if not service.known or check not in service.checks:
                continue
            answer = await self._ask(service, "check", {"check": check, **asked})
            if answer is None:
                if self._deny and service.eager and check != "message":  # Rialto removes it when it is back
                    return _refusal("rialto_away", "This cannot be done at the moment. Try again later.")
            elif answer.get("allow") is not True:
                return _refusal(str(answer.get("code", "refused")), str(answer.get("error", "This is not allowed.")))
        return NOT_SPAM

    async def _ask(self, service: Service, endpoint: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """Put something to a Rialto; None when it does not answer. Nothing of that may fail what people do."""
        if time.monotonic() < service.away_until:
            return None
        url = f"{service.url}{PATH}/{endpoint}"
        try:
            waiting = run_in_background(self._api.http_client.post_json_get_json, url, body, service.headers)
            waiting.addTimeout(self._timeout, reactor)
            answer = await make_deferred_yieldable(waiting)
        except Exception as error:  # noqa: BLE001 - whatever it is: the homeserver goes on without Rialto
            logger.warning("Rialto at %s does not answer: %s", service.url, type(error).__name__)
            service.away_until = time.monotonic() + AWAY_S
            service.known = service.eager
            return None
        return answer if isinstance(answer, dict) else None

    # What Rialto asks

    async def on_hello(self, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
        """Rialto is there. ``checks``: what it wants to be asked; ``slow``: rooms in which people have to wait."""
        checks = body.get("checks")
        if isinstance(checks, list):
            service.checks = tuple(str(check) for check in checks)
        if isinstance(body.get("slow"), list):
            service.slow = {str(room_id) for room_id in body["slow"]}
        service.known, service.away_until = True, 0.0
        self._rules.clear()
        return {"version": VERSION, "enforces": self.enforces, "when_away": "deny" if self._deny else "allow"}

    async def on_forget(self, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
        """The rules of ``users`` have changed."""
        for user_id in body.get("users", []):
            self._rules.pop(str(user_id), None)
        return {}

    async def on_invite(self, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
        """Have ``sender`` invite ``target`` into ``room_id``: what they wanted, and ``target`` has accepted."""
        sender, target, room_id = str(body["sender"]), str(body["target"]), str(body["room_id"])
        if not self._api.is_mine(sender):
            raise SynapseError(400, "only people of this homeserver invite", Codes.INVALID_PARAM)
        state = await self._api.get_room_state(room_id, [("m.room.member", target)])
        member = state.get(("m.room.member", target))
        if member is not None and member.membership in ("join", "invite"):
            return {"membership": member.membership}
        content = {"is_direct": True} if body.get("direct") else {}
        await self._api.update_room_membership(sender, target, room_id, "invite", content=content)
        return {"membership": "invite"}

    async def on_login_token(self, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
        """A token with which ``user_id`` logs in once, within ``valid_ms``."""
        user_id, valid_ms = str(body["user_id"]), int(body.get("valid_ms", 120_000))
        info = await self._api.get_userinfo_by_id(user_id)
        if info is None or info.is_deactivated:
            raise SynapseError(404, "there is no such account", Codes.NOT_FOUND)
        if info.is_admin:
            raise SynapseError(403, "not for administrators", Codes.FORBIDDEN)
        token = await self._api.create_login_token(user_id, duration_in_ms=min(max(valid_ms, 1_000), 600_000))
        return {"login_token": token}

    async def on_ignore(self, service: Service, body: Mapping[str, Any]) -> dict[str, Any]:
        """Put ``other`` on the ignore list of ``user_id``, or take it off: Synapse then keeps its events from them."""
        user_id, other, ignored = str(body["user_id"]), str(body["other"]), bool(body["ignored"])
        manager = self._api.account_data_manager
        found = await manager.get_global(user_id, "m.ignored_user_list")
        users = dict(found.get("ignored_users", {})) if found is not None else {}
        if (other in users) != ignored:
            users = {name: {} for name in users}
            if ignored:
                users[other] = {}
            else:
                users.pop(other, None)
            await manager.put_global(user_id, "m.ignored_user_list", {"ignored_users": users})
        return {}

    # Receipts, presence, redactions

    def _enforce(self, wanted: Iterable[str]) -> None:
        hs = self._api._hs
        if "receipts" in wanted and self._wrap(
            hs.get_receipts_handler,
            "received_client_receipt",
            ["room_id", "receipt_type", "user_id", "event_id", "thread_id"],
            self._receipt,
        ):
            self.enforces.append("receipts")
        if "presence" in wanted:
            visible = self._wrap(
                hs.get_presence_handler, "is_visible", ["observed_user", "observer_user"], self._visible
            )
            synced = self._wrap(
                hs.get_sync_handler,
                "_generate_sync_entry_for_presence",
                ["sync_result_builder", "newly_joined_rooms", "newly_joined_or_invited_users"],
                self._synced,
            )
            if visible and synced:
                self.enforces.append("presence")
        censor = getattr(hs.get_datastores().main, "_censor_redactions", None)
        if "redactions" in wanted and callable(censor) and hs.config.worker.run_background_tasks:
            self._api.looping_background_call(censor, CENSOR_MS, desc="rialto_censor_redactions")
            self.enforces.append("redactions")

    def _wrap(
        self, handler: Callable[[], Any], name: str, parameters: list[str], wrapper: Callable[..., Awaitable[Any]]
    ) -> bool:
        """Put ``wrapper`` before a method of a handler, when it has the parameters that it had when this was made."""
        try:
            instance = handler()
            original = getattr(instance, name)
            found = list(inspect.signature(original).parameters)
        except Exception as error:  # noqa: BLE001 - a process of Synapse that has no such handler, or another release
            logger.warning("rialto_synapse: no %s here (%s)", name, type(error).__name__)
            return False
        if found != parameters:
            logger.error("rialto_synapse: %s has changed in this release: it is not enforced", name)
            return False

        async def wrapped(*arguments: Any, **named: Any) -> Any:
            bound = inspect.signature(original).bind(*arguments, **named)
            return await wrapper(original, **bound.arguments)

        setattr(instance, name, wrapped)
        return True

    async def _receipt(self, original: Callable[..., Awaitable[Any]], **named: Any) -> Any:
        """A receipt of who gives none is kept for their own devices alone (``m.read.private``)."""
        if named["receipt_type"] == "m.read":
            user_id = named["user_id"].to_string()
            rules = await self._rules_of([user_id])
            if rules[user_id].get("receipts") is False:
                named["receipt_type"] = "m.read.private"
        return await original(**named)

    async def _visible(self, original: Callable[..., Awaitable[Any]], **named: Any) -> Any:
        observed, observer = named["observed_user"].to_string(), named["observer_user"].to_string()
        if not await original(**named):
            return False
        rules = await self._rules_of([observed])
        # One who may not see when somebody was last here is refused here, for the answer would say it.
        return all(_may_see(rules[observed], observer, what) for what in ("presence", "last_seen"))

    async def _synced(self, original: Callable[..., Awaitable[Any]], **named: Any) -> Any:
        answer = await original(**named)
        builder = named["sync_result_builder"]
        if not builder.presence:
            return answer
        observer = builder.sync_config.user.to_string()
        others = [state.user_id for state in builder.presence if state.user_id != observer]
        rules = await self._rules_of(others)
        kept = []
        for state in builder.presence:
            if state.user_id == observer:
                kept.append(state)
                continue
            rule = rules[state.user_id]
            if not _may_see(rule, observer, "presence"):
                continue
            if not _may_see(rule, observer, "last_seen"):
                # Without a time Synapse says none. Being here now is presence, having been here is not.
                kept.append(state.copy_and_replace(last_active_ts=0))
            else:
                kept.append(state)
        builder.presence = kept
        return answer

    async def _rules_of(self, users: list[str]) -> dict[str, Mapping[str, Any]]:
        """The rules of people, remembered for a minute; of a Rialto that is away the last that it said."""
        now = time.monotonic()
        unknown = [name for name in users if name not in self._rules or self._rules[name][0] < now]
        unknown = [name for name in dict.fromkeys(unknown) if self._api.is_mine(name)]
        for start in range(0, len(unknown), MOST_ASKED):
            await self._ask_rules(unknown[start : start + MOST_ASKED], now)
        closed: Mapping[str, Any] = {"presence": False, "last_seen": False, "receipts": False}
        missing = closed if self._deny and any(service.eager for service in self.services) else {}
        found = {}
        for name in users:
            known = self._rules.get(name)
            found[name] = known[1] if known is not None else ({} if not self._api.is_mine(name) else missing)
        return found

    async def _ask_rules(self, users: list[str], now: float) -> None:
        merged: dict[str, dict[str, Any]] = {name: {} for name in users}
        whole = True
        for service in self.services:
            if not service.known or not users:
                continue
            answer = await self._ask(service, "rules", {"users": users})
            rules = None if answer is None else answer.get("rules")
            if not isinstance(rules, dict):
                whole = whole and not service.eager
                continue
            for name, rule in rules.items():
                if name in merged and isinstance(rule, dict):
                    merged[name].update(rule)
        if not whole:
            return
        for name, rule in merged.items():
            self._rules[name] = (now + RULES_S, rule)
            self._rules.move_to_end(name)
        while len(self._rules) > MOST_RULES:
            self._rules.popitem(last=False)


class Endpoint(DirectServeJsonResource):  # type: ignore[misc]  # checked without Synapse, which has its own environment
    """``POST`` with Rialto's token and a JSON object."""

    isLeaf = True

    def __init__(self, module: RialtoModule, handler: Callable[[Service, Mapping[str, Any]], Awaitable[Any]]) -> None:
        super().__init__(clock=module._api._hs.get_clock())
        self._module = module
        self._handler = handler

    async def _async_render_POST(self, request: Any) -> tuple[int, Any]:
        header = request.getHeader(b"Authorization") or b""
        scheme, _, shown = header.partition(b" ")
        if scheme.lower() != b"bearer":
            shown = b""
        callers = [
            service for service in self._module.services if hmac.compare_digest(service.as_token.encode("ascii"), shown)
        ]
        if not callers:
            raise SynapseError(401, "this is Rialto's", Codes.UNKNOWN_TOKEN)
        body = parse_json_object_from_request(request)
        try:
            return 200, await self._handler(callers[0], body)
        except (KeyError, TypeError, ValueError) as error:
            raise SynapseError(400, f"this is not understood: {type(error).__name__}", Codes.BAD_JSON) from error


def _may_see(rule: Mapping[str, Any], observer: str, what: str) -> bool:
    """``rule[what]``: whether everybody may, but for ``rule[what + "_except"]``, for whom it is the other way round."""
    allowed = rule.get(what, True) is True
    return not allowed if observer in rule.get(what + "_except", ()) else allowed


def _refusal(code: str, error: str) -> tuple[Codes, dict[str, Any]]:
    return Codes.FORBIDDEN, {"error": error, "chat.rialto.code": code}
