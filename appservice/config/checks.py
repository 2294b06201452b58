"""What the models cannot see: keys that contradict each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from typing import Any

from appservice.config.problems import KeyPath, Place, Problem, dotted
from appservice.config.schema import nearest

_EVERYWHERE = frozenset({"0.0.0.0", "[::]", "::", ""})  # noqa: S104  compared with, not bound


def cross_check(good: Mapping[KeyPath, Any], place_of: Callable[[KeyPath], Place]) -> list[Problem]:
    """The contradictions among the values in ``good``; a value that is missing there is checked against nothing."""
    problems = []
    for check in (
        _tokens,
        _listeners,
        _api_listens,
        _sqlite_shards,
        _order_of_times,
        _localparts,
        _user_ids,
        _bot_users,
        _instances,
    ):
        for path, reason in check(good):
            problems.append(Problem(place_of(path), dotted(path), reason))
    return problems


Found = Iterator[tuple[KeyPath, str]]


def _tokens(good: Mapping[KeyPath, Any]) -> Found:
    ours, theirs = good.get(("appservice", "as_token")), good.get(("appservice", "hs_token"))
    if ours is not None and ours == theirs:
        yield ("appservice", "hs_token"), "must differ from as_token"


def _listeners(good: Mapping[KeyPath, Any]) -> Found:
    listening = [("appservice", "listen")]
    listening += [(section, "listen") for section in ("metrics", "web") if good.get((section, "enabled"), False)]
    for later, earlier in ((b, a) for a, b in combinations(listening, 2)):
        one, other = good.get(earlier), good.get(later)
        if one is None or other is None:
            continue
        (host, _, port), (other_host, _, other_port) = one.rpartition(":"), other.rpartition(":")
        same_host = host == other_host or bool({host, other_host} & _EVERYWHERE)
        if int(port) == int(other_port) != 0 and same_host:
            yield later, f"needs another port than {dotted(earlier)} ({one})"


def _api_listens(good: Mapping[KeyPath, Any]) -> Found:
    if good.get(("messenger", "api", "enabled")) and good.get(("web", "enabled")) is False:
        yield ("messenger", "api", "enabled"), "needs web.enabled: the API is served there"


def _sqlite_shards(good: Mapping[KeyPath, Any]) -> Found:
    url, shards = good.get(("database", "url")), good.get(("engine", "shards"))
    if url is not None and shards is not None and shards > 1 and url.startswith("sqlite:"):
        yield ("engine", "shards"), "needs PostgreSQL to be more than 1: SQLite has a single writer"


def _order_of_times(good: Mapping[KeyPath, Any]) -> Found:
    pairs = (("engine", "backoff", "backoff_max"), ("encryption", "key_wait", "give_up_after"))
    for section, less, more in pairs:
        small, large = good.get((section, less)), good.get((section, more))
        if small is not None and large is not None and small > large:
            yield (section, less), f"needs to be at most {section}.{more} ({large})"


def _localparts(good: Mapping[KeyPath, Any]) -> Found:
    steward = good.get(("appservice", "sender_localpart"))
    seen: dict[str, str] = {}
    for path, value in good.items():
        if path[0] != "bots" or path[-1] != "localpart" or not value:
            continue
        if value == steward:
            yield path, f"is the steward's (appservice.sender_localpart): {value!r} cannot be a bot as well"
        if value in seen:
            yield path, f"is taken by bots[{seen[value]}] already: {value!r}"
        seen.setdefault(value, path[1])


def _bot_users(good: Mapping[KeyPath, Any]) -> Found:
    """Each bot is a user of its own, or joins one that is."""
    own = {value for path, value in good.items() if path[0] == "bots" and path[-1] == "localpart" and value}
    for path, localpart in list(good.items()):
        if path[0] != "bots" or path[-1] != "localpart" or (joins := good.get((*path[:2], "joins"))) is None:
            continue
        if localpart and joins:
            yield (
                (*path[:2], "joins"),
                "cannot stand beside localpart: a plugin has a user of its own, or joins another's",
            )
        elif joins and joins not in own:
            close = nearest(joins, sorted(own))
            hint = f", did you mean {close}?" if close else ""
            yield (*path[:2], "joins"), f"needs the localpart of another bot, {joins!r} is none{hint}"
        elif not localpart and not joins:
            yield path, "is missing"
        elif localpart and good.get((*path[:2], "display_name"), "") is None:
            yield (*path[:2], "display_name"), "is missing"


def _instances(good: Mapping[KeyPath, Any]) -> Found:
    seen: dict[str, str] = {}
    for path, plugin in good.items():
        if path[0] != "bots" or path[-1] != "plugin" or (name := good.get((*path[:2], "name"))) is None:
            continue
        instance = name or plugin
        if instance in seen and name:
            yield (*path[:2], "name"), f"is taken by bots[{seen[instance]}] already: {instance!r}"
        elif instance in seen:
            yield path, f"needs a name: bots[{seen[instance]}] is called {instance!r} already"
        seen.setdefault(instance, path[1])


def _user_ids(good: Mapping[KeyPath, Any]) -> Found:
    # https://spec.matrix.org/v1.16/appendices/#user-identifiers: 255 bytes with the sigil and the domain
    server = good.get(("homeserver", "server_name"))
    for path, value in good.items():
        named = path[-1] in {"localpart", "sender_localpart"} and bool(value)
        if named and server is not None and len(f"@{value}:{server}".encode()) > 255:
            yield path, "is too long: a user id has 255 bytes at most, with @ and the server name"
