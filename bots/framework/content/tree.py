"""Sanitised HTML as a small tree, never deeper than clients take it, and the tree as HTML again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from html.parser import HTMLParser

from bots.framework.content.characters import clean

# Specification, "m.room.message msgtypes": "Tags must not be nested more than 100 levels deep".
MAX_DEPTH = 100
VOID = frozenset({"br", "hr", "img"})
TAGS = frozenset(
    "del h1 h2 h3 h4 h5 h6 blockquote p a ul ol sup sub li b i u strong em s code hr br div table "  # noqa: SIM905
    "thead tbody tr th td caption pre span img details summary".split()
)
ATTRIBUTES = {
    "span": frozenset({"data-mx-bg-color", "data-mx-color", "data-mx-spoiler", "data-mx-maths"}),
    "a": frozenset({"name", "target", "href"}),
    "img": frozenset({"width", "height", "alt", "title", "src"}),
    "ol": frozenset({"start"}),
    "code": frozenset({"class"}),
    "div": frozenset({"data-mx-maths"}),
}
# Those of the specification, and Matrix's own (Appendices, "matrix: URI scheme").
SCHEMES = frozenset({"https", "http", "ftp", "mailto", "magnet", "matrix"})
_LINK = re.compile(r"(?:(?:https?|ftp)://|mailto:|magnet:|matrix:)[^\s<>\"'`\\]+", re.IGNORECASE)
_MXC = re.compile(r"mxc://[A-Za-z0-9\[][A-Za-z0-9.\-:\[\]]*/[A-Za-z0-9_\-]+")
_RULES = {
    "href": _LINK,
    "src": _MXC,
    "target": re.compile("_blank"),
    "start": re.compile(r"-?[0-9]{1,9}"),
    "width": re.compile(r"[0-9]{1,4}"),
    "height": re.compile(r"[0-9]{1,4}"),
    "data-mx-color": re.compile("#[0-9A-Fa-f]{6}"),
    "data-mx-bg-color": re.compile("#[0-9A-Fa-f]{6}"),
}
_LANGUAGE = re.compile(r"language-[A-Za-z0-9_+#.\-]{1,40}")


def permitted(tag: str, name: str, value: str) -> str | None:
    """The value that an attribute may have, or None (specification, "m.room.message msgtypes")."""
    if name not in ATTRIBUTES.get(tag, ()):
        return None
    value = clean(value)
    if name == "class":
        return " ".join(word for word in value.split() if _LANGUAGE.fullmatch(word)) or None
    rule = _RULES.get(name)
    return value if rule is None or rule.fullmatch(value) else None


@dataclass(slots=True)
class Node:
    """An element; its children are elements and texts. The root's tag is empty."""

    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list[Node | str] = field(default_factory=list)

    def texts(self) -> Iterator[str]:
        """All text in it, in order."""
        for child in self.children:
            if isinstance(child, str):
                yield child
            else:
                yield from child.texts()


class Builder(HTMLParser):
    """Builds the tree of HTML that is well formed, as the sanitiser's output is.

    What is deeper than ``MAX_DEPTH`` loses its tags and keeps its text. An image without an address that may be shown
    is its description.
    """

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Node("")
        self._open = [self.root]
        self._dropped: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        if tag not in TAGS:
            return
        attributes: dict[str, str] = {}
        for name, value in attrs:
            allowed = permitted(tag, name, value or "")
            if allowed is not None and name not in attributes:
                attributes[name] = allowed
        if tag == "img" and "src" not in attributes:
            self.handle_data(attributes.get("alt") or attributes.get("title") or "")
        elif len(self._open) > MAX_DEPTH:
            if tag not in VOID:
                self._dropped.append(tag)
        else:
            node = Node(tag, attributes)
            self._open[-1].children.append(node)
            if tag not in VOID:
                self._open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """HTML knows no self-closing elements."""
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        """Close an element; one that is not open is nobody's."""
        if self._dropped:
            if self._dropped[-1] == tag:
                self._dropped.pop()
        elif self._open[-1].tag == tag:
            self._open.pop()

    def handle_data(self, data: str) -> None:
        """Text belongs to what is open."""
        children = self._open[-1].children
        if children and isinstance(children[-1], str):
            children[-1] += data
        elif data:
            children.append(data)


def parse(html: str) -> Node:
    """The tree of sanitised HTML, its texts without characters that hide or turn others."""
    builder = Builder()
    builder.feed(html)
    builder.close()
    _clean(builder.root)
    return builder.root


def _clean(node: Node) -> None:
    cleaned = [clean(child) if isinstance(child, str) else child for child in node.children]
    node.children = [child for child in cleaned if child != ""]
    for child in node.children:
        if isinstance(child, Node):
            _clean(child)


def written(node: Node) -> str:
    """The tree as HTML."""
    return "".join(_pieces(node))


def _pieces(node: Node) -> Iterator[str]:
    if node.tag:
        attributes = "".join(f' {name}="{escape(value)}"' for name, value in sorted(node.attributes.items()))
        yield f"<{node.tag}{attributes}>"
    for child in node.children:
        if isinstance(child, str):
            yield escape(child, quote=False)
        else:
            yield from _pieces(child)
    if node.tag and node.tag not in VOID:
        yield f"</{node.tag}>"
