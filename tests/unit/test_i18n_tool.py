"""Texts found in code, catalogues that follow them; and the catalogues of the built-in bots, which have no gaps."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
from babel.messages.catalog import Catalog

import bots
from bots.framework.i18n import Catalogues, TranslationError
from bots.framework.tools.translations import Domain, built_in, domain_of, extract, main, missing, scan, update

LANGUAGES = frozenset({"de", "fr", "ar", "pl", "es"})
BOTS = Path(bots.__file__).parent


def package(root: Path, **modules: str) -> Domain:
    folder = root / "shop"
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(dedent(code), "utf-8")
    return domain_of(folder, root)


def texts(catalog: Catalog) -> list[object]:
    return [message.id for message in catalog if message.id]


class TestExtraction:
    def test_calls_and_marks(self, tmp_path: Path) -> None:
        domain = package(
            tmp_path,
            bot="""
            from bots.framework.i18n import _
            LATER = _("Later")
            async def f(ctx, translator, late):
                t = translator.t
                t("Direct")
                ctx.t("On " "two lines and {place}", place=1)
                translator.t("Late" if late else "In time")
                translator.n("{count} cup", "{count} cups", 3)
                t(LATER)
                t("")
            """,
        )
        found = scan(domain.sources, tmp_path)
        assert texts(found.catalog) == [
            "Later", "Direct", "On two lines and {place}", "Late", "In time", ("{count} cup", "{count} cups"),
        ]  # fmt: skip
        assert found.problems == []
        message = found.catalog.get("Direct")
        assert message is not None
        assert message.locations == [("shop/bot.py", 6)]

    def test_texts_that_travel(self, tmp_path: Path) -> None:
        domain = package(
            tmp_path,
            __init__="from shop.errors import Refused",
            errors="""
            class Refused(Exception):
                def __init__(self, code: str, msgid: str, /, **values) -> None: ...
                @classmethod
                def plain(cls):
                    return cls("plain", "From inside")
            class Text:
                values: dict
                msgid: str
            def shown(translator, text):
                return translator.t(text)
            MESSAGES: Final = MappingProxyType({"a": "In a table"})
            OTHER = {"a": "not this"}
            TERMS: Final[Mapping[str, str]] = MappingProxyType({"now": "now|at once"})
            """,
            bot="""
            from shop import Refused
            from . import errors
            from .errors import TERMS
            VOCABULARIES = (TERMS,)
            from .errors import Text as Words, shown
            raise Refused("code", "Through the package", x=1)
            Words({}, "A field")
            Words({}, msgid="By name")
            shown(t, "Handed on")
            other.shown(t, "not this either")
            """,
        )
        assert sorted(map(str, texts(extract(domain.sources, tmp_path)))) == [
            "A field", "By name", "From inside", "Handed on", "In a table", "Through the package",
            "now|at once",
        ]  # fmt: skip

    def test_descriptions_of_commands_and_plugins(self, tmp_path: Path) -> None:
        domain = package(
            tmp_path,
            bot="""
            class Shop(Plugin):
                summary = "Sells things."
                @command("buy", help="Buy a thing.")
                async def buy(self, ctx): ...
            """,
        )
        assert texts(extract(domain.sources)) == ["Sells things.", "Buy a thing."]

    def test_comments_for_translators(self, tmp_path: Path) -> None:
        domain = package(
            tmp_path,
            bot="""
            # Translators: a kind of coffee,
            # not a person.
            t("Americano")
            # An ordinary comment
            t("Latte")
            """,
        )
        comments = {str(each.id): each.auto_comments for each in extract(domain.sources) if each.id}
        assert comments == {"Americano": ["Translators: a kind of coffee, not a person."], "Latte": []}

    def test_texts_that_cannot_be_translated_are_named(self, tmp_path: Path) -> None:
        domain = package(
            tmp_path,
            bad="def (",
            bot="""
            t(f"Hello {name}")
            t("Hello {name.first}", name=1)
            t("Hello {name}", nmae=1)
            t("Hello {name}", **values)
            n("{count} of {total}", "{count} of {total}", 3)
            t("Use { to begin")
            """,
        )
        found = scan(domain.sources, tmp_path)
        assert [str(each) for each in found.problems] == [
            "shop/bad.py:1: not Python: invalid syntax",
            "shop/bot.py:2: a text to translate is no f-string: name its fields and hand over their values",
            "shop/bot.py:3: the field {name.first} is more than a name",
            "shop/bot.py:4: no value is handed over for {name}",
            "shop/bot.py:6: no value is handed over for {total}",
            "shop/bot.py:7: a brace stands alone (expected '}' before end of string); {{ and }} write braces",
        ]


class TestCatalogues:
    def test_they_follow_the_code(self, tmp_path: Path) -> None:
        domain = package(tmp_path, bot='t("Tea")\nn("{count} cup", "{count} cups", 2)')
        (file,) = update(domain, ["pl"])
        assert file == tmp_path / "shop" / "locales" / "pl" / "LC_MESSAGES" / "shop.po"
        text = file.read_text("utf-8")
        assert text.count("msgstr[") == 3
        assert update(domain) == ()

        (gap,) = missing(domain)
        assert (gap.language, gap.missing, gap.stale) == ("pl", ("Tea", "{count} cup | {count} cups"), ())
        file.write_text(text.replace('"Tea"\nmsgstr ""', '"Tea"\nmsgstr "Herbata"'), "utf-8")
        assert missing(domain)[0].missing == ("{count} cup | {count} cups",)

        package(tmp_path, bot='t("Milk")')
        (gap,) = missing(domain)
        assert (gap.missing, gap.stale) == (("Milk",), ("Tea", "{count} cup | {count} cups"))
        assert f"{file}: no longer in the code: Tea" in str(gap)
        assert update(domain) == (file,)
        assert '#~ msgid "Tea"\n#~ msgstr "Herbata"' in file.read_text("utf-8")
        assert missing(domain)[0].stale == ()

        package(tmp_path, bot='t("Milk")\nt("Tea")')
        update(domain)
        assert missing(domain)[0].missing == ("Milk",)
        made = Catalogues()
        made.add("shop", domain.locales)
        assert made.translator("pl", "shop").t("Tea") == "Herbata"

    def test_an_unconfirmed_translation_is_missing(self, tmp_path: Path) -> None:
        domain = package(tmp_path, bot='t("Choose a drink please")')
        (file,) = update(domain, ["de"])
        file.write_text(
            file.read_text("utf-8").replace('please"\nmsgstr ""', 'please"\nmsgstr "Was trinken Sie?"'), "utf-8"
        )
        assert not missing(domain)[0]
        package(tmp_path, bot='t("Choose your drink please")')
        update(domain, fuzzy=True)
        assert "#, fuzzy" in file.read_text("utf-8")
        assert missing(domain)[0].missing == ("Choose your drink please",)

    def test_a_broken_catalogue_is_reported_and_not_overwritten(self, tmp_path: Path) -> None:
        domain = package(tmp_path, bot='t("Tea")')
        (file,) = update(domain, ["de"])
        broken = file.read_text("utf-8").replace('msgid "Tea"', "msgid Tea")
        file.write_text(broken, "utf-8")
        (gap,) = missing(domain)
        assert gap.missing == ("Tea",)
        assert [each.file for each in gap.problems] == ["shop/locales/de/LC_MESSAGES/shop.po"]
        with pytest.raises(TranslationError, match="no part of a catalogue"):
            update(domain)
        assert file.read_text("utf-8") == broken

    def test_the_command_line(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        package(tmp_path, bot='t("Tea")')
        monkeypatch.chdir(tmp_path)
        assert main(["update", "shop", "--language", "pt-BR"]) == 0
        assert (tmp_path / "shop/locales/pt_BR/LC_MESSAGES/shop.po").exists()
        assert main(["check", "shop"]) == 1
        assert "missing: Tea" in capsys.readouterr().out
        file = tmp_path / "shop/locales/pt_BR/LC_MESSAGES/shop.po"
        file.write_text(file.read_text("utf-8").replace('"Tea"\nmsgstr ""', '"Tea"\nmsgstr "Chá"'), "utf-8")
        assert main(["check", "shop"]) == 0
        package(tmp_path, bot='t(f"Tea {size}")')
        assert main(["check", "shop"]) == 1
        assert "shop/bot.py:1" in capsys.readouterr().err


EXAMPLES = sorted(file.parent for file in BOTS.parent.glob("examples/*/*/plugin.py"))
DOMAINS = {
    domain.name: domain for domain in (*built_in(BOTS), *(domain_of(each, BOTS.resolve().parent) for each in EXAMPLES))
}


@pytest.mark.parametrize("name", sorted(DOMAINS))
class TestBuiltIn:
    def test_every_text_of_the_code_can_be_translated(self, name: str) -> None:
        domain = DOMAINS[name]
        assert [str(each) for each in scan(domain.sources, domain.root).problems] == []

    def test_every_language_has_every_text_and_no_other(self, name: str) -> None:
        domain = DOMAINS[name]
        assert frozenset(domain.languages) >= LANGUAGES
        assert [str(gap) for gap in missing(domain) if gap] == []

    def test_every_catalogue_loads_without_a_word(self, name: str) -> None:
        made = Catalogues()
        made.add(name, DOMAINS[name].locales)
        assert made.load(name) == ()
