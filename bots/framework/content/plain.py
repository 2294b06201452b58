"""Plain text of sanitised HTML: complete in itself, for clients and people that see nothing else."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import unquote

from bots.framework.content.tree import Node
from bots.framework.i18n import Translator

_SPACE = re.compile(r"[ \t\n]+")
_BLANK_LINES = re.compile(r"\n{3,}")
_INLINE = frozenset({"del", "a", "sup", "sub", "b", "i", "u", "strong", "em", "s", "code", "br", "span", "img"})
_PILL = re.compile(r"(?:https://matrix\.to/#/|matrix:(?:u|r|roomid)/)", re.IGNORECASE)
_BREAK = "\x00"  # a line break that the collapsing of white space leaves alone; cleaned text holds none


def plain(root: Node, translator: Translator) -> str:
    """What the HTML says, as text.

    Paragraphs are parted by an empty line; lists have "-" or numbers, quotes "> ", headings "#", code its backticks,
    links "text (address)", tables aligned columns, deleted text "~~", formulas their LaTeX. What a spoiler hides stays
    hidden: only its reason is told (specification, "Spoiler messages").
    """
    return _Renderer(translator).blocks(root).strip("\n")


class _Renderer:
    def __init__(self, translator: Translator) -> None:
        self._t = translator.t

    def blocks(self, node: Node, tight: bool = False) -> str:
        """The children, each block on lines of its own."""
        parts: list[str] = []
        line: list[Node | str] = []
        for child in node.children:
            if isinstance(child, Node) and _is_block(child):
                self._flush(line, parts)
                parts.append(self._block(child))
            else:
                line.append(child)
        self._flush(line, parts)
        separator = "\n" if tight else "\n\n"
        return _BLANK_LINES.sub("\n\n", separator.join(part for part in parts if part.strip()))

    def _flush(self, line: list[Node | str], parts: list[str]) -> None:
        if line:
            parts.append(_collapsed("".join(map(self._inline, line))))
            line.clear()

    def _block(self, node: Node) -> str:
        match node.tag:
            case "h1" | "h2" | "h3" | "h4" | "h5" | "h6":
                text = _one_line(self.blocks(node))
                return f"{'#' * int(node.tag[1])} {text}" if text else ""
            case "blockquote":
                return _prefixed(self.blocks(node), "> ", "> ")
            case "ul" | "ol":
                return self._list(node)
            case "pre":
                return _fenced(node)
            case "hr":
                return "---"
            case "table":
                return self._table(node)
            case "div" if node.attributes.get("data-mx-maths"):
                return f"$${node.attributes['data-mx-maths']}$$"
            case "details":
                return self.blocks(node, tight=True)
            case _:
                return self.blocks(node, tight=node.tag == "li")

    def _list(self, node: Node) -> str:
        number = int(node.attributes.get("start", "1"))
        lines: list[str] = []
        for child in node.children:
            if isinstance(child, str):
                if child.strip():
                    lines.append(_collapsed(child))
                continue
            mark = "- "
            if node.tag == "ol" and child.tag == "li":
                mark = f"{number}. "
                number += 1
            text = self.blocks(child, tight=True) if _is_block(child) else _collapsed(self._inline(child))
            lines.append(_prefixed(text, mark, " " * len(mark)) if text else mark.rstrip())
        return "\n".join(lines)

    def _table(self, node: Node) -> str:
        captions: list[str] = []
        rows: list[tuple[bool, list[str]]] = []
        self._rows(node, rows, captions)
        widths: list[int] = []
        for _, row in rows:
            widths += [0] * (len(row) - len(widths))
            widths = [max(old, _width(cell)) for old, cell in zip(widths, [*row, *[""] * len(widths)], strict=False)]
        lines = list(captions)
        for place, (header, row) in enumerate(rows):
            cells = [cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=False)]
            lines.append(" | ".join(cells).rstrip())
            if header and not (place + 1 < len(rows) and rows[place + 1][0]):
                lines.append("-|-".join("-" * width for width in widths))
        return "\n".join(lines)

    def _rows(self, node: Node, rows: list[tuple[bool, list[str]]], captions: list[str]) -> None:
        for child in node.children:
            if isinstance(child, str):
                if child.strip():
                    captions.append(_collapsed(child))
            elif child.tag == "tr":
                cells = [cell for cell in child.children if isinstance(cell, Node)]
                header = bool(cells) and all(cell.tag == "th" for cell in cells)
                rows.append((header, [_one_line(self.blocks(Node("", {}, [cell]))) for cell in cells]))
            elif child.tag in {"thead", "tbody"}:
                self._rows(child, rows, captions)
            else:
                captions.append(_one_line(self.blocks(Node("", {}, [child]))))

    def _inline(self, node: Node | str) -> str:
        if isinstance(node, str):
            return node
        if _is_block(node):  # HTML that nests a block in a link or a bold word
            return _BREAK + self._block(node).replace("\n", _BREAK) + _BREAK
        replaced = self._replaced(node)
        if replaced is not None:
            return replaced
        text = "".join(map(self._inline, node.children))
        if not text.strip():
            return text if node.tag != "a" else node.attributes.get("href", "")
        match node.tag:
            case "a":
                return _linked(text, node.attributes.get("href"))
            case "del" | "s":
                return f"~~{text}~~"
            case "sup":
                return f"^{text}" if len(text) == 1 else f"^({text})"
            case "sub":
                return f"_{text}" if len(text) == 1 else f"_({text})"
            case _:
                return text

    def _replaced(self, node: Node) -> str | None:
        """Elements that are not the text within them."""
        attributes = node.attributes
        match node.tag:
            case "br":
                return _BREAK
            case "img":
                return attributes.get("alt") or attributes.get("title") or f"[{self._t('image')}]"
            case "code":
                return _code("".join(node.texts()))
            case "span" if "data-mx-spoiler" in attributes:
                reason = attributes["data-mx-spoiler"]
                return f"[{self._t('spoiler')}: {reason}]" if reason else f"[{self._t('spoiler')}]"
            case "span" if attributes.get("data-mx-maths"):
                return f"${attributes['data-mx-maths']}$"
            case _:
                return None


def _is_block(node: Node) -> bool:
    return node.tag not in _INLINE


def _linked(text: str, address: str | None) -> str:
    if address is None or _PILL.match(address):
        return text
    shown = _SPACE.sub(" ", text.replace(_BREAK, " ")).strip()
    same = {address, address.partition("://")[2], address.partition("://")[2].rstrip("/"), unquote(address)}
    if address.lower().startswith("mailto:"):
        same.add(address.partition(":")[2])
    return text if shown in same else f"{text} ({address})"


def _code(text: str) -> str:
    text = _SPACE.sub(" ", text)
    if not text.strip():
        return text
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    ticks = "`" * (longest + 1)
    return f"{ticks} {text} {ticks}" if longest else f"`{text}`"


def _fenced(node: Node) -> str:
    language = ""
    for child in node.children:
        if isinstance(child, Node) and child.tag == "code":
            language = child.attributes.get("class", "").partition(" ")[0].removeprefix("language-")
    text = "".join("\n" if isinstance(part, Node) else part for part in _leaves(node)).strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}{language}\n{text}\n{fence}" if text.strip() else ""


def _leaves(node: Node) -> list[Node | str]:
    found: list[Node | str] = []
    for child in node.children:
        if isinstance(child, str) or child.tag == "br":
            found.append(child)
        else:
            found += _leaves(child)
    return found


def _collapsed(text: str) -> str:
    """White space as HTML shows it: runs are one space, none at the ends of a line."""
    return "\n".join(line.strip(" ") for line in _SPACE.sub(" ", text).split(_BREAK)).strip("\n")


def _one_line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _prefixed(text: str, first: str, others: str) -> str:
    if not text:
        return ""
    head, *rest = text.split("\n")
    return "\n".join([first + head, *(f"{others}{line}".rstrip() for line in rest)])


def _width(text: str) -> int:
    """Columns in a terminal: wide characters take two, combining and invisible ones none (UAX #11)."""
    return sum(
        0
        if unicodedata.combining(character) or unicodedata.category(character) in {"Cf", "Me", "Mn"}
        else 1 + (unicodedata.east_asian_width(character) in {"W", "F"})
        for character in text
    )
