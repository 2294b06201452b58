"""Whatever the messenger tells or refuses has words, in every language."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import bridge
from bots.framework.i18n import Catalogues
from bots.framework.table import HandlerTable
from bots.hub import Hub, menus, notices, refusals

BRIDGE = Path(bridge.__file__).parent
RAISED = frozenset({"Refused", "NotAllowed", "NotFound", "Conflict", "TooMany"})
OF_PRODUCTS = ("api", "client", "webhooks", "identity", "commands", "delivery")
"""Areas that only products and operators meet; and what in the others only they do:"""
NOT_SAID = frozenset(
    {
        "avatar_invalid", "bad_cursor", "chat_missing", "external_id_of_product", "external_id_taken",
        "holds_of_operators", "key_invalid", "key_used", "kind_not_made", "membership_invalid", "no_such_action",
        "not_suspended", "one_person", "owner_is_you", "products_adopt_nothing", "state_invalid", "steward_not_invited",
        "timer_start", "too_many_generations", "workspace_of_product",
    }
)  # fmt: skip
LANGUAGES = ("de", "fr", "es", "pl", "ar")


def refused() -> list[tuple[str, str, str]]:
    """Where, which code, which sentence: of every refusal that is written down as it stands."""
    found = []
    for file in sorted(BRIDGE.rglob("*.py")):
        if file.relative_to(BRIDGE).parts[0] in OF_PRODUCTS:
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in RAISED):
                continue
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            if len(texts) == 2 and all(isinstance(each, str) for each in texts):
                found.append((str(file.relative_to(BRIDGE)), str(texts[0]), str(texts[1])))
    return found


def told() -> set[str]:
    """The codes of notices, as far as they stand as they are in a call."""
    found = set()
    for file in sorted(BRIDGE.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                at = {"event": 2, "tell": 2, "in_room": 2}.get(node.func.attr)
                owner = ast.unparse(node.func.value)
                if at is None or not owner.endswith("notices") or len(node.args) <= at:
                    continue
                code = node.args[at]
                if isinstance(code, ast.Constant) and isinstance(code.value, str):
                    found.add(code.value)
    return found


def test_every_refusal_has_words() -> None:
    known = set(refusals.MESSAGES.values())
    lacking = [
        (where, code, human)
        for where, code, human in refused()
        if code not in NOT_SAID and code not in refusals.BY_CODE and human not in known
    ]
    assert lacking == []


def test_every_notice_has_words() -> None:
    assert len(told()) > 5
    assert told() - set(notices.MESSAGES) - {"report.ask", "export.ready"} == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_notices_and_refusals_are_translated(language: str) -> None:
    catalogues = Catalogues()
    catalogues.add("hub", Path(str(notices.__file__)).parent / "locales")
    translator = catalogues.translator(language, "hub")
    for text in [*notices.MESSAGES.values(), *refusals.MESSAGES.values(), *refusals.BY_CODE.values()]:
        assert translator.t(text) != text, text


def test_menus_lead_to_dialogs_that_can_be_begun() -> None:
    dialogs = HandlerTable(object.__new__(Hub), "hub").dialogs
    for entry in menus.OF_A_CHAT:
        assert dialogs[entry.dialog].takes(["chat"], {}), entry
    arguments: dict[str, list[str | None]] = {"make_direct": [None], "join_by_code": ["", ""]}
    for entry in menus.OF_ALL:
        assert dialogs[entry.dialog].takes(arguments.get(entry.dialog, []), {}), entry
