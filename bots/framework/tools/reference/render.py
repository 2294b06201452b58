"""The pages of the reference, in Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from textwrap import dedent, indent
from typing import Any, Final

from bots.framework.tools.reference import checks
from bots.framework.tools.reference.model import OPERATORS, Code, Entry, Signature
from bots.framework.tools.reference.names import PAGES, Page

WIDTH: Final = 100
NOTE: Final = "<!-- Written by python -m bots.framework.tools.reference from the docstrings. Edit those. -->"


def render(code: Code, public: Mapping[str, Entry], version: str) -> dict[str, str]:
    """The pages by the names of their files."""
    placed = checks.pages(public)
    links = {
        each.canonical: f"{page.slug}.md#{_anchor(each, entry)}"
        for page in PAGES
        for entry in placed[page.slug]
        for each in entry.walk()
        if each is entry or each.kind == "function"
    }
    links |= {
        each.canonical: f"{page.slug}.md#{_anchor(entry, entry)}"
        for page in PAGES
        for entry in placed[page.slug]
        for each in entry.members
        if each.kind == "value"
    }
    writer = _Writer(code, public, links)
    files = {f"{page.slug}.md": writer.page(page, placed[page.slug]) for page in PAGES}
    files["index.md"] = _index(placed, version)
    return files


_LITERAL: Final = re.compile(r"::\n\n((?:(?: {4,}.*|)\n?)+)")
"""An indented example behind a double colon."""


def _index(placed: Mapping[str, Sequence[Entry]], version: str) -> str:
    lines = [
        NOTE,
        "",
        "# Reference of the plugin API",
        "",
        f"Version {version}. What is promised of it: [stability](../plugins/stability.md). How it is used: "
        "[the guide](../plugins/index.md).",
        "",
        "| page | names |",
        "|---|---|",
    ]
    for page in PAGES:
        names = ", ".join(f"[`{each.name}`]({page.slug}.md#{_anchor(each, each)})" for each in placed[page.slug])
        lines.append(f"| [{page.title}]({page.slug}.md) | {names} |")
    return "\n".join(lines) + "\n"


def _heading(entry: Entry, owner: Entry) -> str:
    if entry.kind == "class":
        return f"class {entry.name}"
    name = entry.name if entry is owner else f"{owner.name}.{entry.name}"
    return f"{name}()" if entry.kind == "function" else name


def _anchor(entry: Entry, owner: Entry) -> str:
    return re.sub(r"[^\w\- ]", "", _heading(entry, owner).lower()).strip().replace(" ", "-")


class _Writer:
    """Writes entries, with links between them."""

    def __init__(self, code: Code, public: Mapping[str, Entry], links: Mapping[str, str]) -> None:
        self._code = code
        self._public = public
        self._links = links

    def page(self, page: Page, entries: Sequence[Entry]) -> str:
        """One page."""
        parts = [
            NOTE,
            f"# {page.title}",
            f"{page.words} In the guide: [{page.guide.partition('#')[0]}](../plugins/{page.guide}).",
        ]
        for entry in entries:
            parts.append(f"## {_heading(entry, entry)}")
            parts += self._entry(entry)
        return "\n\n".join(part for part in parts if part) + "\n"

    def _entry(self, entry: Entry) -> list[str]:
        module = entry.path.rpartition(".")[0]
        parts = [f"```python\nfrom {module} import {entry.name}\n```"]
        parts += [_signature(entry)] if entry.kind != "class" or entry.signatures else []
        if entry.kind == "value":
            parts = [f"```python\n{_value(entry)}\n```"]
        parts += self._words(entry)
        if entry.kind != "class":
            return parts
        bases = [base for base in entry.bases if not base.startswith(("Generic", "Protocol", "BaseModel"))]
        if bases:
            parts.append("Is a " + ", ".join(f"`{base}`" for base in bases) + ".")
        said = _attributes_in(entry)
        values = [each for each in entry.members if each.kind == "value" and each.name not in OPERATORS]
        if values:
            lines = [self._attribute(each, said.get(each.name, "")) for each in values]
            parts.append("\n".join(lines))
        operators = [each.name for each in entry.members if each.name in OPERATORS and each.name != "__str__"]
        if operators:
            parts.append("Operators: " + ", ".join(f"`{name}`" for name in operators) + ".")
        for each in entry.members:
            if each.kind == "function" and each.name not in OPERATORS:
                parts += [f"### {_heading(each, entry)}", _signature(each), *self._words(each)]
        return parts

    def _attribute(self, entry: Entry, said: str) -> str:
        words = " ".join(self._text(entry, entry.doc).split()) if entry.doc else said
        typed = f"`{entry.name}: {entry.annotation}`" if entry.annotation else f"`{entry.name}`"
        return f"- {typed}" + (f" – {words}" if words else "")

    def _words(self, entry: Entry) -> list[str]:
        parts: list[str] = []
        for section in entry.sections():
            kind = section.kind.value
            if kind == "text":
                parts.append(self._text(entry, section.value))
            elif kind == "parameters":
                parts.append("Arguments:\n\n" + "\n".join(self._items(entry, section.value)))
            elif kind == "attributes":
                continue  # with the types, in the list of attributes
            elif kind == "raises":
                lines = [f"- `{item.annotation}` – {self._line(entry, item.description)}" for item in section.value]
                parts.append("Raises:\n\n" + "\n".join(lines))
            elif kind in {"returns", "yields"}:
                words = " ".join(self._line(entry, item.description) for item in section.value)
                parts.append(f"Returns: {words}")
            else:
                parts.append(self._text(entry, str(section.value)))
        return parts

    def _items(self, entry: Entry, items: Sequence[Any]) -> list[str]:
        return [f"- `{item.name}` – {self._line(entry, item.description)}" for item in items]

    def _line(self, entry: Entry, text: str) -> str:
        return " ".join(self._text(entry, text).split())

    def _text(self, entry: Entry, text: str) -> str:
        """Docstring to Markdown: roles become links, literals code, indented examples blocks."""

        def link(match: re.Match[str]) -> str:
            target = checks.resolve(self._code, entry, match[1]) or ""
            short = match[0].partition("`")[2].strip("`")
            name = short.lstrip("~").rpartition(".")[2] if short.startswith("~") else match[1].rpartition(".")[2]
            found = self._links.get(target)
            return f"[`{name}`]({found})" if found else f"`{name}`"

        text = checks.ROLE.sub(link, text.strip())
        text = re.sub(r"``([^`]+)``", r"`\1`", text)
        return re.sub(
            r"::\n\n((?:(?: {4,}.*|)\n?)+)",
            lambda found: ":\n\n```python\n" + dedent(found[1]).strip() + "\n```\n",
            text,
        )


def _attributes_in(entry: Entry) -> dict[str, str]:
    """What the words of a class say of its attributes."""
    found: dict[str, str] = {}
    for section in entry.sections():
        if section.kind.value == "attributes":
            for item in section.value:
                for name in re.split(r"[\s,]+", str(item.name)):
                    found[name] = re.sub(r"``([^`]+)``", r"`\1`", " ".join(str(item.description).split()))
    return found


def _value(entry: Entry) -> str:
    typed = f": {entry.annotation}" if entry.annotation else ""
    return f"{entry.name}{typed}" + (f" = {entry.value}" if entry.value else "")


def _signature(entry: Entry) -> str:
    lines = []
    for way in entry.signatures:
        if entry.kind == "class":
            lines.append(_call(entry.name, way))
            continue
        words = [f"@{label}\n" for label in entry.labels if label in {"classmethod", "staticmethod"}]
        head = "async def" if "async" in entry.labels else "def"
        lines.append("".join(words) + _call(f"{head} {entry.name}", way))
    return "```python\n" + "\n".join(lines) + "\n```"


def _call(head: str, way: Signature) -> str:
    line = f"{head}{way}"
    if len(line) <= WIDTH:
        return line
    inner, returns = Signature(way.parameters, ""), way.returns
    parts = str(inner)[1:-1]
    broken = ",\n".join(_split(parts))
    return f"{head}(\n{indent(broken, '    ')},\n)" + (f" -> {returns}" if returns else "")


def _split(parts: str) -> list[str]:
    """The parameters, split at commas that stand in no brackets or quotes."""
    found, depth, start, quote = [], 0, 0, ""
    for at, char in enumerate(parts):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and not depth:
            found.append(parts[start:at].strip())
            start = at + 1
    return [*found, parts[start:].strip()]
