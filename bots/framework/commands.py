"""The commands of a bot: which one a text means, how they are explained, and how clients learn of them.

Clients learn of commands by MSC4391, "Simplified in-room bot commands" (an open proposal of 2025-12-24 which simplifies
MSC4332; implemented in mautrix-go, meowlnir and gomuks; not in the specification). A bot writes one state event per
command,
of the type ``m.bot.command_description``, unstable ``org.matrix.msc4391.command_description``, with the state key
``base64(sha256(command + user id of the bot))``; it needs the power level for that. Clients then send the command as
``m.bot.command``, unstable ``org.matrix.msc4391.command``: ``{"command": …, "arguments": {…}}`` in an ordinary
message that
mentions the bot. While the proposal is open only the unstable names are written; both are read. Beyond the proposal
there is
``fi.mau.tail_parameter``, which tells clients which parameter takes the rest of a line.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Any, Final

from appservice.errors import RialtoError
from bots.framework.arguments import ArgumentError, ParseEnv, Signature, fold, nearest
from bots.framework.arguments.definition import Kind, Parameter
from bots.framework.arguments.errors import shorten
from bots.framework.i18n import English, Translator

DESCRIPTION_TYPE: Final = "org.matrix.msc4391.command_description"
"""The type of the state event that describes a command (MSC4391, unstable)."""
INVOCATION_KEYS: Final = ("m.bot.command", "org.matrix.msc4391.command")
"""Where a message holds a structured command (MSC4391, stable and unstable)."""

_WORD: Final = re.compile(r"\S+")
_DEEPEST: Final = 8
"""Words of the longest command."""
_OVERVIEWS: Final = 32
"""Pages that are kept: of each language, and of what people may use."""


@dataclass(frozen=True, slots=True)
class CommandEntry:
    """One command: ``name`` is ``order`` or, of a group, ``order cancel``; so are the aliases.

    An entry with the name of a group is its default: ``order espresso`` when there is no ``order espresso``.
    ``owner`` names the plugin. Hidden commands work and are shown nowhere. ``permission`` is for the router to check.
    """

    name: str
    help: str
    signature: Signature
    handler: Callable[..., Awaitable[Any]]
    owner: str
    aliases: tuple[str, ...] = ()
    hidden: bool = False
    permission: str | None = None
    described: Mapping[str, Any] | None = None
    """Of a plugin outside the process: ``parameters`` and ``tail`` as clients hear of them; its signature is there."""

    def usage(self, prefix: str = "", translator: Translator | None = None) -> str:
        """How it is written: ``!pay <to> <amount> [memo…]``."""
        return prefix + self.signature.usage(self.name, translator)


class CommandConflict(RialtoError):
    """Two commands of one bot have one name. ``human`` names both plugins."""

    code = "command.conflict"


@dataclass(frozen=True, slots=True)
class Matched:
    """The command that was meant, and the text behind its name or, of a structured command, its arguments."""

    entry: CommandEntry
    rest: str = ""
    arguments: Mapping[str, Any] | None = None

    def parse(self, env: ParseEnv) -> dict[str, Any]:
        """The arguments of the handler. Raises :class:`~bots.framework.arguments.ArgumentError`."""
        if self.arguments is not None:
            return self.entry.signature.parse_structured(self.arguments, env)
        return self.entry.signature.parse(self.rest, env)


@dataclass(frozen=True, slots=True)
class Unknown:
    """No command: what was written, the command that was probably meant, and the commands of the group that was
    named."""

    word: str
    nearest: str | None = None
    group: str = ""
    choices: tuple[str, ...] = ()

    def say(self, translator: Translator, prefix: str = "") -> str:
        """What to answer."""
        t = translator.t
        if self.group and not self.word:
            choices = ", ".join(prefix + choice for choice in self.choices)
            return t("“{group}” needs one word more: {choices}.", group=prefix + self.group, choices=choices)
        parts = [t("I do not know “{word}”.", word=shorten(f"{self.group} {self.word}".strip(), 40))]
        if self.nearest is not None:
            parts.append(t("Did you mean “{nearest}”?", nearest=prefix + self.nearest))
        parts.append(t("Type “{help}” to see what I can do.", help=prefix + "help"))
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class Page:
    """A text for people, plain and as HTML that is escaped (specification, "m.room.message msgtypes", the tags it
    allows)."""

    text: str
    html: str


Allowed = Callable[[CommandEntry], bool]


@dataclass(slots=True)
class _Node:
    """One word of a command, with the words that may follow; ``next`` is by folded word, aliases too."""

    path: tuple[str, ...] = ()
    entry: CommandEntry | None = None
    next: dict[str, _Node] = field(default_factory=dict)


class CommandTable:
    """The commands of one bot, of all its plugins. Raises :class:`CommandConflict` when two have one name."""

    def __init__(self, entries: Iterable[CommandEntry]) -> None:
        self._entries = sorted(entries, key=lambda entry: fold(entry.name))
        self._root = _Node()
        self._below: dict[int, list[CommandEntry]] = {}
        self._overviews: OrderedDict[tuple[Any, ...], Page] = OrderedDict()
        for entry in self._entries:
            self._add(entry)
        for entry in self._entries:
            for alias in entry.aliases:
                self._add_alias(entry, alias)

    def __iter__(self) -> Iterator[CommandEntry]:
        return iter(self._entries)

    def _add(self, entry: CommandEntry) -> None:
        words = _words(entry.name, entry)
        node = self._root
        for depth, word in enumerate(words, 1):
            node = node.next.setdefault(fold(word), _Node(tuple(words[:depth])))
        if node.entry is not None:
            raise _conflict(entry.name, node.entry, entry)
        node.entry = entry

    def _add_alias(self, entry: CommandEntry, alias: str) -> None:
        words = _words(alias, entry)
        target, node = self._walk(_words(entry.name, entry)), self._root
        for depth, word in enumerate(words[:-1], 1):
            node = node.next.setdefault(fold(word), _Node(tuple(words[:depth])))
        there = node.next.setdefault(fold(words[-1]), target)
        if there is not target:
            raise _conflict(alias, there.entry or next(_under(there)), entry)

    def _walk(self, words: Iterable[str]) -> _Node:
        node = self._root
        for word in words:
            node = node.next[fold(word)]
        return node

    def match(self, text: str, allowed: Allowed | None = None) -> Matched | Unknown:
        """The command that a text begins with, the longest there is. ``allowed`` says which commands may be
        suggested."""
        node, at = self._follow(text)
        if node.entry is not None:
            return Matched(node.entry, text[at:].lstrip())
        return self._unknown(node, text[at:].split(), allowed)

    def lookup(self, text: str) -> Matched | None:
        """The same without a word for what is no command: nearly every text is none."""
        node, at = self._follow(text)
        return None if node.entry is None else Matched(node.entry, text[at:].lstrip())

    def _follow(self, text: str) -> tuple[_Node, int]:
        node, at = self._root, 0
        for word in _WORD.finditer(text, 0, 1000):
            following = node.next.get(fold(word[0]))
            if following is None:
                break
            node, at = following, word.end()
        return node, at

    def match_structured(self, content: Mapping[str, Any], allowed: Allowed | None = None) -> Matched | Unknown | None:
        """The command of a message that has one in structured form (MSC4391), None for other messages."""
        given = next((content[key] for key in INVOCATION_KEYS if isinstance(content.get(key), Mapping)), None)
        name = given.get("command") if given is not None else None
        if given is None or not isinstance(name, str):
            return None
        arguments = given.get("arguments")
        found = self.match(name, allowed)
        if isinstance(found, Unknown):
            return found
        if found.rest:
            return self._unknown(self._root, name.split(), allowed)
        return Matched(found.entry, "", arguments if isinstance(arguments, Mapping) else {})

    def _unknown(self, node: _Node, words: list[str], allowed: Allowed | None) -> Unknown:
        group = " ".join(node.path)
        shown = self._shown(node, allowed)
        choices = tuple(entry.name for entry in shown)
        if not words:
            return Unknown("", None, group, choices)
        names: dict[str, str] = {}
        for entry in shown:
            names |= {alias: alias for alias in entry.aliases} if not group else {}
            names[entry.name] = entry.name
        # A name of two words is compared with two words.
        for count in range(min(len(words), _DEEPEST), 0, -1):
            tried = [name for name in names if len(name.split()) == len(node.path) + count]
            near = nearest(" ".join([*node.path, *words[:count]]), tried)
            if near is not None:
                return Unknown(words[0], near, group, choices)
        return Unknown(words[0], None, group, choices)

    def find(self, name: str) -> CommandEntry | None:
        """The command of exactly this name or alias."""
        found = self.match(name)
        return found.entry if isinstance(found, Matched) and not found.rest else None

    def help(
        self,
        command: str = "",
        translator: Translator | None = None,
        *,
        prefix: str = "",
        allowed: Allowed | None = None,
    ) -> Page | Unknown:
        """All commands on one page or, of a command or group, its own page; what is not allowed is not shown."""
        translator = translator or English()
        if not command.strip():
            return self._overview(self._shown(self._root, allowed), translator, prefix)
        found = self.match(command, allowed)
        if isinstance(found, Matched) and not found.rest and (allowed is None or allowed(found.entry)):
            return self._page(found.entry, translator, prefix, allowed)
        if isinstance(found, Unknown) and not found.word and found.choices:
            node = self._walk(found.group.split())
            return self._overview(self._shown(node, allowed), translator, prefix)
        return found if isinstance(found, Unknown) else self._unknown(self._root, command.split(), allowed)

    def _shown(self, node: _Node, allowed: Allowed | None) -> list[CommandEntry]:
        below = self._below.get(id(node))
        if below is None:
            below = self._below[id(node)] = [entry for entry in _under(node) if not entry.hidden]
        return below if allowed is None else [entry for entry in below if allowed(entry)]

    def _overview(self, shown: list[CommandEntry], translator: Translator, prefix: str) -> Page:
        key = (translator, prefix, *(entry.name for entry in shown))
        page = self._overviews.get(key)
        if page is None:
            page = self._overviews[key] = self._made_overview(shown, translator, prefix)
            if len(self._overviews) > _OVERVIEWS:
                self._overviews.popitem(last=False)
        return page

    def _made_overview(self, shown: list[CommandEntry], translator: Translator, prefix: str) -> Page:
        t = translator.t
        if not shown:
            nothing = t("There are no commands.")
            return Page(nothing, f"<p>{escape(nothing)}</p>")
        title, more = t("What I can do:"), t("Type “{help}” and a command to learn more.", help=prefix + "help")
        rows = [(entry.usage(prefix, translator), t(entry.help)) for entry in shown]
        text = "\n".join([title, *(f"• {usage} — {help}" for usage, help in rows), more])
        items = "".join(f"<li><code>{escape(usage)}</code> {escape(help)}</li>" for usage, help in rows)
        return Page(text, f"<p>{escape(title)}</p><ul>{items}</ul><p>{escape(more)}</p>")

    def _page(self, entry: CommandEntry, translator: Translator, prefix: str, allowed: Allowed | None) -> Page:
        t = translator.t
        usage = entry.usage(prefix, translator)
        lines, blocks = [usage, t(entry.help)], [f"<p><code>{escape(usage)}</code><br>{escape(t(entry.help))}</p>"]
        rows = [(t(parameter.label), _about(parameter, translator)) for parameter in entry.signature.parameters]
        if rows:
            lines += [f"• {label}: {about}" for label, about in rows]
            blocks.append(
                "<ul>" + "".join(f"<li><strong>{escape(a)}</strong>: {escape(b)}</li>" for a, b in rows) + "</ul>"
            )
        if entry.aliases:
            also = t("Also: {aliases}", aliases=", ".join(prefix + alias for alias in entry.aliases))
            lines.append(also)
            blocks.append(f"<p>{escape(also)}</p>")
        below = [other for other in self._shown(self._walk(entry.name.split()), allowed) if other is not entry]
        if below:
            lines += [f"• {other.usage(prefix, translator)} — {t(other.help)}" for other in below]
            items = (f"<li><code>{escape(o.usage(prefix, translator))}</code> {escape(t(o.help))}</li>" for o in below)
            blocks.append(f"<ul>{''.join(items)}</ul>")
        return Page("\n".join(lines), "".join(blocks))

    def explain(self, matched: Matched, error: ArgumentError, translator: Translator, *, prefix: str = "") -> Page:
        """What to answer when the arguments do not fit: which, why, and how the command is written."""
        problem = error.say(translator)
        word = matched.rest.split(maxsplit=1)[0] if matched.rest else ""
        node = self._walk(matched.entry.name.split())
        below = {
            other.name.split()[-1]: other.name
            for other in _under(node)
            if other is not matched.entry and not other.hidden
        }
        if word and error.nearest is None and (near := nearest(word, below)) is not None:
            problem += " " + translator.t("Did you mean “{nearest}”?", nearest=prefix + below[near])
        usage, label = matched.entry.usage(prefix, translator), translator.t("Usage:")
        return Page(
            f"{problem}\n{label} {usage}", f"<p>{escape(problem)}<br>{escape(label)} <code>{escape(usage)}</code></p>"
        )

    def descriptions(self, translator: Translator | None = None) -> list[dict[str, Any]]:
        """The contents of the state events that tell clients of the commands (MSC4391); hidden ones are left out.

        The state key of each is :func:`description_state_key`.
        """
        translator = translator or English()
        return [_description(entry, translator) for entry in self._entries if not entry.hidden]


def description_state_key(command: str, user_id: str) -> str:
    """The state key of a command's description: padded base64 of SHA-256 of the command and the bot's user id
    (MSC4391)."""
    return base64.b64encode(hashlib.sha256((command + user_id).encode()).digest()).decode()


def _words(name: str, entry: CommandEntry) -> list[str]:
    words = name.split()
    if not words or len(words) > _DEEPEST or not all(fold(word) for word in words):
        raise RialtoError(
            f"{entry.owner}: “{name}” is no name for a command: write one to {_DEEPEST} words.",
            owner=entry.owner,
            command=name,
        )
    return words


def _conflict(name: str, first: CommandEntry, second: CommandEntry) -> CommandConflict:
    claims = f"{first.owner} (“{first.name}”) and by {second.owner} (“{second.name}”)"
    human = f"The command “{name}” is claimed by {claims}: rename one."
    if first.owner == second.owner:
        human = (
            f"{first.owner} has two commands that are called “{name}” (“{first.name}” and “{second.name}”): rename one."
        )
    return CommandConflict(human, command=name, owners=[first.owner, second.owner])


def _under(node: _Node) -> Iterator[CommandEntry]:
    """The commands that begin with a node's words, each once."""
    seen: set[int] = set()
    waiting = [node]
    while waiting:
        here = waiting.pop(0)
        if id(here) in seen or here.path[: len(node.path)] != node.path:
            continue
        seen.add(id(here))
        if here.entry is not None:
            yield here.entry
        waiting += here.next.values()


def _about(parameter: Parameter, translator: Translator) -> str:
    """What a parameter takes, for a help page."""
    t, converter = translator.t, parameter.converter
    about = t(converter.description) if converter.description else converter.expected.say(translator)
    return about if parameter.required else t("{about} (may be left out)", about=about)


def described(entry: CommandEntry) -> dict[str, Any]:
    """The parameters of a command as clients hear of them, and the one that takes the rest of a line, if one does."""
    content = _description(entry, English())
    return {"parameters": content["parameters"], "tail": content.get("fi.mau.tail_parameter")}


def _description(entry: CommandEntry, translator: Translator) -> dict[str, Any]:
    if entry.described is not None:
        elsewhere: dict[str, Any] = {
            "command": entry.name,
            "aliases": list(entry.aliases),
            "parameters": list(entry.described["parameters"]),
            "description": _text(translator.t(entry.help)),
        }
        tail = entry.described["tail"]
        return elsewhere if tail is None else {**elsewhere, "fi.mau.tail_parameter": tail}
    parameters = []
    for parameter in entry.signature.parameters:
        schema = dict(parameter.converter.schema)
        described: dict[str, Any] = {
            "key": parameter.name,
            "schema": {"schema_type": "array", "items": schema} if parameter.several else schema,
            "description": _text(parameter.converter.description or parameter.converter.expected.say(translator)),
        }
        if not parameter.required:
            described["optional"] = True
        parameters.append(described)
    content: dict[str, Any] = {
        "command": entry.name,
        "aliases": list(entry.aliases),
        "parameters": parameters,
        "description": _text(translator.t(entry.help)),
    }
    positional = [parameter for parameter in entry.signature.parameters if parameter.kind is not Kind.KEYWORD]
    last = positional[-1] if positional else None
    if last is not None and (
        last.converter.rest or (not last.required and all(other.required for other in positional[:-1]))
    ):
        content["fi.mau.tail_parameter"] = last.name
    return content


def _text(body: str) -> dict[str, Any]:
    """A text block (MSC1767)."""
    return {"m.text": [{"body": body}]}
