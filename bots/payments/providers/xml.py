"""XML files of others: read as a tree whose elements know their line. No document type, no entities, bounded."""

from __future__ import annotations

from typing import Any, Final
from xml.sax import SAXException, SAXParseException
from xml.sax.handler import ContentHandler, feature_namespaces

from defusedxml import DefusedXmlException
from defusedxml.sax import make_parser

from bots.domain.statements import Node, StatementError

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_NODES: Final = 2_000_000
_CHUNK: Final = 65_536


class _Tree(ContentHandler):
    def __init__(self, parser: Any) -> None:
        super().__init__()
        self._parser = parser
        self.root: Node | None = None
        self.line = 1
        self._open: list[Node] = []
        self._count = 0

    def startElementNS(self, name: tuple[str | None, str], qname: str | None, attrs: Any) -> None:
        self.line = self._parser.getLineNumber() or self.line
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_NODES:
            raise StatementError(self.line, "the file is nested too deeply, or too large")
        attributes = {key[1]: value for key, value in attrs.items()}
        node = Node(name[1], self.line, attributes)
        if self._open:
            self._open[-1].children.append(node)
        else:
            self.root = node
        self._open.append(node)

    def endElementNS(self, name: tuple[str | None, str], qname: str | None) -> None:
        self._open.pop()

    def characters(self, content: str) -> None:
        if self._open:
            self._open[-1].pieces.append(content)


def read_tree(data: bytes) -> Node:
    """The root of a file. Raises :class:`StatementError` with the line at which it cannot be read."""
    if len(data) > MAX_BYTES:
        raise StatementError(1, f"the file has more than {MAX_BYTES} bytes")
    parser = make_parser()
    tree = _Tree(parser)
    parser.forbid_dtd = True
    parser.setFeature(feature_namespaces, True)
    parser.setContentHandler(tree)
    try:
        for start in range(0, len(data), _CHUNK):
            parser.feed(data[start : start + _CHUNK])
        parser.close()
    except SAXParseException as error:
        line = error.getLineNumber() or tree.line
        raise StatementError(line, f"the file is no XML, or broken off: {error.getMessage()[:100]}") from None
    except DefusedXmlException:
        raise StatementError(tree.line, "the file defines a document type or entities, which is not taken") from None
    except (SAXException, ValueError, LookupError) as error:
        if isinstance(error, StatementError):
            raise
        raise StatementError(tree.line, "the file is no XML, or its encoding is not known") from None
    if tree.root is None:
        raise StatementError(1, "the file is empty")
    return tree.root
