"""The Python blocks of documents, as modules that run and that a type checker reads."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
HEAD = "from __future__ import annotations"


@dataclass(frozen=True)
class DocModule:
    """All Python blocks of one page, one behind the other, on the lines on which the page has them."""

    page: Path
    source: str

    @property
    def name(self) -> str:
        """A name for it as a module."""
        return "doc_" + re.sub(r"\W", "_", self.page.stem)

    @property
    def tests(self) -> list[str]:
        """The names of its tests."""
        tree = ast.parse(self.source, str(self.page))
        return [
            node.name
            for node in tree.body
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
        ]

    def load(self) -> ModuleType:
        """Run it. Its classes can be found by the module's name, as dialogs need."""
        module = ModuleType(self.name)
        module.__file__ = str(self.page)
        sys.modules[self.name] = module
        code = compile(self.source, str(self.page), "exec", dont_inherit=True)
        exec(code, module.__dict__)
        return module


def doc_module(page: Path) -> DocModule | None:
    """The Python of a page; None when it has none."""
    text = page.read_text(encoding="utf-8")
    lines: list[str] = [""] * (text.count("\n") + 2)
    found = False
    for match in FENCE.finditer(text):
        if match["info"].split()[:1] != ["python"]:
            continue
        found = True
        first = text.count("\n", 0, match.start("body"))
        for offset, line in enumerate(match["body"].splitlines()):
            lines[first + offset] = line
    if not found:
        return None
    lines[0] = HEAD
    return DocModule(page, "\n".join(lines) + "\n")
