"""Texts in a person's language: lookup, fallback, plural forms, values, and catalogues that are broken."""

from __future__ import annotations

import datetime as dt
import logging
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from babel import Locale
from babel.plural import PluralRule
from hypothesis import given
from hypothesis import strategies as st

from bots.domain.money import Money
from bots.framework.i18n import WORDS, Catalogues, English, Translator, words
from bots.framework.i18n.catalogue import Catalogue, read_catalogue
from bots.framework.i18n.templates import POP, BadField, balanced, isolate, parse

HEADER = """msgid ""
msgstr ""
"Content-Type: text/plain; charset=utf-8\\n"
"Language: {language}\\n"
{plural}
"""

PLURALS = {
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
    "pl": "nplurals=3; plural=(n==1 ? 0 : n%10>=2 && n%10<=4 && (n%100<12 || n%100>14) ? 1 : 2);",
    "fr": "nplurals=2; plural=(n > 1);",
    "de": "nplurals=2; plural=(n != 1);",
    "ja": "nplurals=1; plural=0;",
}
LRI, RLO = "\u2066", "\u202e"


def po(language: str, *entries: tuple[str, ...]) -> str:
    """A catalogue of (msgid, msgstr) and (one, many, form, form, …)."""
    rule = f'"Plural-Forms: {PLURALS[language]}\\n"' if language in PLURALS else ""
    text = HEADER.format(language=language, plural=rule)
    for entry in entries:
        if len(entry) == 2:
            text += f'\nmsgid "{entry[0]}"\nmsgstr "{entry[1]}"\n'
        else:
            text += f'\nmsgid "{entry[0]}"\nmsgid_plural "{entry[1]}"\n'
            text += "".join(f'msgstr[{number}] "{form}"\n' for number, form in enumerate(entry[2:]))
    return text


def catalogues(tmp_path: Path, default: str = "en", **texts: str) -> Catalogues:
    """Catalogues of the domain ``shop``; keys are languages."""
    for language, text in texts.items():
        folder = tmp_path / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        (folder / "shop.po").write_text(text, "utf-8")
    made = Catalogues(default)
    made.add("shop", tmp_path)
    return made


def read(text: str, language: str = "de") -> Catalogue:
    return read_catalogue(text.encode(), language, "shop.po")


def problems(text: str, language: str = "de") -> list[str]:
    return [str(problem) for problem in read(text, language).problems]


@cache
def own() -> Catalogues:
    """The framework's own, read once."""
    return Catalogues()


class TestFallback:
    def test_a_region_falls_back_to_its_language_then_to_the_default_then_to_english(self, tmp_path: Path) -> None:
        made = catalogues(
            tmp_path,
            "fr",
            pt_BR=po("pt_BR", ("Bus", "Ônibus")),
            pt=po("pt", ("Bus", "Autocarro"), ("Tea", "Chá")),
            fr=po("fr", ("Bus", "Autobus"), ("Tea", "Thé"), ("Milk", "Lait")),
        )
        t = made.translator("pt-BR", "shop").t
        assert [t("Bus"), t("Tea"), t("Milk"), t("Bread")] == ["Ônibus", "Chá", "Lait", "Bread"]

    def test_a_plugin_goes_before_the_framework_and_the_framework_before_the_default(self, tmp_path: Path) -> None:
        framework = tmp_path / "framework"
        for language, text in {"pt": po("pt", ("Yes", "Sim"), ("No", "Não")), "fr": po("fr", ("Yes", "Oui"))}.items():
            (framework / language / "LC_MESSAGES").mkdir(parents=True)
            (framework / language / "LC_MESSAGES" / "framework.po").write_text(text, "utf-8")
        made = catalogues(
            tmp_path / "shop", "fr", pt=po("pt", ("No", "De jeito nenhum")), fr=po("fr", ("Yes", "Ouais"))
        )
        made.add("framework", framework)
        assert made.translator("pt", "shop").t("No") == "De jeito nenhum"
        assert made.translator("pt", "shop").t("Yes") == "Sim"
        assert made.translator("fr", "shop").t("Yes") == "Ouais"
        assert made.translator("fr").t("Yes") == "Oui"

    def test_english_people_get_the_code_and_not_the_default(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, "de", de=po("de", ("Tea", "Tee")))
        assert made.translator("en-GB", "shop").t("Tea") == "Tea"
        assert made.translator(None, "shop").t("Tea") == "Tee"
        assert made.translator("tlh", "shop").t("Tea") == "Tee"
        assert made.translator("not a tag!", "shop").language == "de"

    def test_a_person_keeps_the_formats_of_their_region(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, de=po("de", ("Paid {total}", "Bezahlt: {total}")))
        assert (
            made.translator("de-AT", "shop").t("Paid {total}", total=Money(123450, "EUR")) == "Bezahlt: €\xa01.234,50"
        )
        assert made.translator("de-CH", "shop").t("Paid {total}", total=Money(123450, "EUR")).endswith("1’234.50")
        assert made.translator("de-AT", "shop").language == "de-AT"

    def test_an_english_sentence_has_english_values_and_direction_for_everybody(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, ar=po("ar", ("Tea", "شاي")))
        assert made.translator("ar", "shop").t("Ready on {day}", day=dt.date(2026, 5, 31)) == "Ready on May 31, 2026"

    def test_a_catalogue_is_read_once_and_anew_when_it_is_added_again(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, de=po("de", ("Tea", "Tee")))
        first = made.translator("de", "shop")
        assert made.translator("de", "shop") is first
        (tmp_path / "de" / "LC_MESSAGES" / "shop.po").write_text(po("de", ("Tea", "Kräutertee")), "utf-8")
        assert made.translator("de", "shop").t("Tea") == "Tee"
        made.add("shop", tmp_path)
        assert made.translator("de", "shop").t("Tea") == "Kräutertee"
        made.remove("shop")
        assert made.translator("de", "shop").t("Tea") == "Tea"

    def test_what_is_kept_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("bots.framework.i18n.catalogues._TRANSLATORS", 5)
        monkeypatch.setattr("bots.framework.i18n.catalogues._CATALOGUES", 1)
        made = catalogues(tmp_path, de=po("de", ("Tea", "Tee")), fr=po("fr", ("Tea", "Thé")))
        for region in ("AT", "CH", "LI", "LU", "BE", "IT", "DE"):
            assert made.translator(f"de-{region}", "shop").t("Tea") == "Tee"
            assert made.translator(f"fr-{region}", "shop").t("Tea") == "Thé"
        assert len(made._translations) == 5
        assert len(made._read) == 1

    def test_it_is_a_translator(self, tmp_path: Path) -> None:
        translator: Translator = catalogues(tmp_path).translator("de", "shop")
        assert translator.language == "de"


class TestPlurals:
    CASES = (
        ("ar", ("صفر", "واحد", "اثنان", "{count} قليل", "{count} كثير", "{count} آخر"), (0, 1, 2, 3, 11, 100)),
        ("pl", ("{count} plik", "{count} pliki", "{count} plików"), (1, 2, 5)),
        ("fr", ("{count} fichier", "{count} fichiers"), (0, 2)),
        ("de", ("eine Datei", "{count} Dateien"), (1, 0)),
        ("ja", ("{count} 件",), (1,)),
    )

    @pytest.mark.parametrize(("language", "forms", "counts"), CASES)
    def test_every_form_of_a_language_is_used(
        self, tmp_path: Path, language: str, forms: tuple[str, ...], counts: tuple[int, ...]
    ) -> None:
        made = catalogues(tmp_path, **{language: po(language, ("{count} file", "{count} files", *forms))})
        n = made.translator(language, "shop").n
        for form, count in zip(forms, counts, strict=True):
            said = n("{count} file", "{count} files", count)
            assert said.replace("\u2068", "").replace("\u2069", "") == form.replace("{count}", str(count))
        assert made.problems == ()

    @pytest.mark.parametrize("language", ["ar", "pl", "fr", "de", "ja"])
    def test_the_rule_agrees_with_cldr(self, language: str) -> None:
        catalogue = read(po(language), language)
        rule: PluralRule = Locale(language).plural_form
        groups: dict[int, set[str]] = {}
        for count in range(2000):
            groups.setdefault(catalogue.rule(count), set()).add(rule(count))
        assert all(len(tags) == 1 for tags in groups.values())
        assert len(groups) == len({next(iter(tags)) for tags in groups.values()})

    def test_without_plural_forms_the_rule_is_cldrs(self) -> None:
        text = po("ru", ("{count} file", "{count} files", "{count} файл", "{count} файла", "{count} файлов"))
        catalogue = read(text, "ru")
        assert catalogue.problems == ()
        texts = [catalogue.one_of("{count} file", "{count} files", count) for count in (21, 3, 11, -1)]
        assert [each and each.text for each in texts] == [
            "{count} файл",
            "{count} файла",
            "{count} файлов",
            "{count} файл",
        ]

    def test_arabic_forms_stand_in_the_order_of_cldr_with_and_without_a_header(self) -> None:
        forms = ("zero", "one", "two", "{count} few", "{count} many", "{count} other")
        text = po("ar", ("{count} file", "{count} files", *forms))
        for each in (text, text.replace("Plural-Forms", "X-Other")):
            catalogue = read(each, "ar")
            used = [catalogue.one_of("{count} file", "{count} files", count) for count in (0, 1, 2, 7, 42, 102)]
            assert tuple(form.text for form in used if form is not None) == forms

    def test_counts_are_grouped_and_other_whole_numbers_are_not(self, tmp_path: Path) -> None:
        n = catalogues(tmp_path).translator("en").n
        assert n("{count} order", "{count} orders since {number}", 12345, number=67890) == "12,345 orders since 67890"

    def test_the_english_of_the_code_is_the_last_resort(self, tmp_path: Path) -> None:
        n = catalogues(tmp_path, pl=po("pl")).translator("pl", "shop").n
        assert [n("{count} file", "{count} files", count) for count in (1, 5, -1)] == ["1 file", "5 files", "-1 files"]


class TestValues:
    def test_they_are_written_as_the_language_does(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, de=po("de", ("{v}", "{v}")))
        t = made.translator("de", "shop", ZoneInfo("Europe/Berlin")).t
        moment = dt.datetime(2026, 7, 1, 22, 30, tzinfo=dt.UTC)
        assert t("{v}", v=Money(123450, "EUR")) == "1.234,50\xa0€"
        assert t("{v}", v=Money(1234, "JPY")) == "1.234\xa0¥"
        assert t("{v}", v=Money(1234567, "KWD")) == "1.234,567\xa0KWD"
        assert t("{v}", v=Decimal("1234.5")) == "1.234,5"
        assert t("{v}", v=0.25) == "0,25"
        assert t("{v}", v=dt.date(2026, 7, 1)) == "01.07.2026"
        assert t("{v}", v=moment) == "02.07.2026, 00:30"
        assert t("{v}", v=dt.time(18, 5)) == "18:05"
        assert t("{v}", v=dt.timedelta(hours=1, minutes=30)) == "1 Stunde, 30 Minuten"
        assert t("{v}", v=["A", "B", "C"]) == "A, B und C"
        assert t("{v}", v=4711) == "4711"
        assert t("{v}", v=None) == "None"

    def test_a_value_is_never_read_as_a_text(self, tmp_path: Path) -> None:
        t = catalogues(tmp_path).translator("en").t
        for hostile in ("{0}", "{name.__class__}", "{other}", "%s", "{{", "}", "${name}"):
            assert t("Hello {name}, {other}", name=hostile, other="x") == f"Hello {hostile}, x"

    def test_a_value_that_is_not_there_leaves_its_field(self, tmp_path: Path) -> None:
        assert catalogues(tmp_path).translator("en").t("{a} {b}", a=1) == "1 {b}"

    def test_a_value_that_breaks_when_written_does_not_break_the_sentence(self, tmp_path: Path) -> None:
        class Broken:
            def __str__(self) -> str:
                raise RuntimeError("no")

        t = catalogues(tmp_path).translator("en").t
        assert t("It is {it}.", it=Broken()) == "It is (Broken)."
        assert t("It is {it}.", it=10**5000) == "It is (int)."
        assert t("It is {it}.", it=Decimal("1e999999")) == "It is 1E+999999."
        assert t("It is {it}.", it=float("nan")) == "It is nan."

    def test_names_of_the_parameters_are_names_of_fields_too(self, tmp_path: Path) -> None:
        assert catalogues(tmp_path).translator("en").t("{self} {text}", self=1, text=2) == "1 2"
        assert catalogues(tmp_path).translator("en").n("{one}", "{many} {count}", 2, one=1, many=9) == "9 2"

    @given(
        value=st.one_of(
            st.text(), st.integers(), st.decimals(), st.floats(), st.dates(), st.datetimes(timezones=st.timezones()),
            st.times(), st.timedeltas(), st.lists(st.text(max_size=5), max_size=5), st.binary(), st.booleans(),
            st.none(),
            st.builds(Money, st.integers(-(2**62), 2**62), st.sampled_from(["EUR", "JPY", "KWD", "CLF"])),
        ),
        language=st.sampled_from(["en", "de", "ar", "pl", "fa", "hi", "zh-Hant", "sw", "pt-BR"]),
        count=st.integers(),
    )  # fmt: skip
    def test_nothing_that_is_inserted_raises(self, value: Any, language: str, count: int) -> None:
        made = own()
        for translator in (made.translator(language), made.translator("ar"), made.translator("de")):
            assert translator.t("before {value} after", value=value).startswith("before ")
            said = translator.n("{count} of {value}", "{count} of {value}", count, value=value)
            assert " of " in said

    @given(st.text())
    def test_a_text_that_is_inserted_appears_whole_but_for_closings_without_openings(self, value: str) -> None:
        said = own().translator("en").t("({value})", value=value)
        assert balanced(value) in said or value.isascii()
        assert said.startswith("(") and said.endswith(")")
        if value.isascii():
            assert said == f"({value})"

    # Hypothesis knows the texts in the code, translated ones among them: none begins so.
    @given(st.text().map("~{0}".format))
    def test_texts_that_are_not_templates_are_said_as_they_stand(self, text: str) -> None:
        translator = own().translator("de")
        assert isinstance(translator.t(text, x=1), str)
        assert translator.t(text) == text

    @given(text=st.sampled_from(["Hi {name}", "{name} and {{braces}}", "plain"]), name=st.text(alphabet="abc{}%"))
    def test_it_says_what_the_english_pass_through_says(self, text: str, name: str) -> None:
        assert own().translator("en").t(text, name=name) == English().t(text, name=name)
        assert own().translator("en").n(text, text + "s", 2, name=name) == English().n(text, text + "s", 2, name=name)


class TestDirection:
    def test_values_are_isolated_in_right_to_left_texts(self, tmp_path: Path) -> None:
        made = catalogues(tmp_path, ar=po("ar", ("Hello {name}", "مرحبًا {name}")))
        assert made.translator("ar", "shop").t("Hello {name}", name="Alice") == "مرحبًا \u2068Alice\u2069"
        assert made.translator("ar-EG", "shop").t("Hello {name}", name="أمل") == "مرحبًا \u2068أمل\u2069"

    def test_in_left_to_right_texts_only_values_that_could_turn_it_are(self) -> None:
        assert isolate("Zoë", False) == "Zoë"
        assert isolate("أمل", False) == "\u2068أمل\u2069"
        assert isolate(f"{RLO}EUR 05", False) == f"\u2068{RLO}EUR 05\u2069"

    def test_a_value_cannot_leave_its_isolate(self) -> None:
        assert isolate(f"a{POP}{POP}ب", True) == "\u2068aب\u2069"
        assert isolate(f"a{LRI}ب", True) == f"\u2068a{LRI}ب\u2069\u2069"
        assert isolate(f"{LRI}ب{POP}", True) == f"\u2068{LRI}ب{POP}\u2069"

    def test_an_address_stays_one_that_can_be_followed(self) -> None:
        assert isolate("https://matrix.to/#/!a:b", True) == "https://matrix.to/#/!a:b"
        assert isolate("https://a b", True) == "\u2068https://a b\u2069"

    @given(st.text(alphabet=f"aب{POP}{LRI}\u2067\u2068{RLO}"), st.booleans())
    def test_isolates_are_always_balanced(self, value: str, right_to_left: bool) -> None:
        depth = 0
        for each in isolate(value, right_to_left):
            depth += (each in "\u2066\u2067\u2068") - (each == POP)
            assert depth >= 0
        assert depth == 0


class TestBrokenCatalogues:
    def test_a_field_that_is_missing_or_unknown(self) -> None:
        text = po(
            "de", ("Hi {name}", "Hallo"), ("Bye {name}", "Tschüss {nmae}"), ("Tea", "Tee {size}"), ("Ok {a}", "Gut {a}")
        )
        assert problems(text) == [
            "shop.po:7: the translation of “Hi {name}” lacks {name}",
            "shop.po:10: the translation of “Bye {name}” lacks {name}",
            "shop.po:13: the translation of “Tea” has {size}, which the text does not have",
        ]
        assert set(read(text).singular) == {"Ok {a}"}

    @pytest.mark.parametrize(
        "trick", ["{a.__class__}", "{a[0]}", "{a!r}", "{a:>99999999}", "{}", "{0}", "{a:{a}}", "{a", "a}", "{ a }"]
    )
    def test_a_field_that_is_more_than_a_name(self, trick: str) -> None:
        text = po("de", ("Hi {a}", f"Hallo {trick}"), ("Tea", "Tee"))
        (problem,) = problems(text)
        assert problem.startswith("shop.po:7: ")
        assert set(read(text).singular) == {"Tea"}
        with pytest.raises(BadField):
            parse(trick)

    def test_the_text_falls_back_and_the_log_names_file_and_line(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        made = catalogues(tmp_path, de=po("de", ("Hi {a}", "Hallo {a.b}"), ("Tea", "Tee")))
        with caplog.at_level(logging.WARNING):
            t = made.translator("de", "shop").t
        assert t("Hi {a}", a=1) == "Hi 1"
        assert t("Tea") == "Tee"
        (problem,) = made.problems
        assert problem.line == 7
        assert problem.file == str(tmp_path / "de" / "LC_MESSAGES" / "shop.po")
        assert problem.code == "bad_translation"
        assert f"{problem.file}:7" in caplog.text
        assert made.load("shop") == (problem,)

    def test_too_few_and_too_many_plural_forms(self) -> None:
        few = po("pl", ("{count} file", "{count} files", "{count} plik", "{count} pliki"), ("Tea", "Herbata"))
        (problem,) = problems(few, "pl")
        assert problem == "shop.po:7: “{count} file” has 3 plural forms in this language; missing: 2"
        many = po("de", ("{count} file", "{count} files", "eine", "{count}", "{count}"), ("Tea", "Tee"))
        (problem,) = problems(many)
        assert "more translations than num_plurals" in problem
        assert read(many).singular.keys() == {"Tea"}

    def test_a_form_for_several_counts_has_to_say_the_count(self) -> None:
        (problem,) = problems(po("fr", ("{count} file", "{count} files", "un fichier", "{count} fichiers")), "fr")
        assert problem.endswith("the translation of “{count} file” lacks {count}")

    @pytest.mark.parametrize(
        ("rule", "said"),
        [
            ("nplurals=2; plural=n;", "2 things would have form 2 of 2"),
            ("nplurals=2; plural=n/(n-5);", "Plural-Forms cannot be used"),
            ("nplurals=2; plural=__import__('os');", "Plural-Forms cannot be used"),
            ("nplurals=2; plural=" + "(" * 500 + "n" + ")" * 500 + ";", "Plural-Forms cannot be used"),
            ("nplurals=many; plural=n;", "the header cannot be read"),
        ],
    )
    def test_a_plural_rule_that_cannot_be(self, rule: str, said: str) -> None:
        text = po("de", ("{count} file", "{count} files", "eine", "{count}"), ("Tea", "Tee"))
        text = text.replace(PLURALS["de"], rule)
        assert said in problems(text)[0]
        catalogue = read(text)
        assert catalogue.singular.keys() == {"Tea"}

    def test_a_line_that_is_none_costs_its_entry_only(self) -> None:
        text = po("de", ("Tea", "Tee"), ("Milk", "Milch"), ("Bread", "Brot"))
        for good, bad in (('"Milch"', '"Milch'), ('"Milch"', "Milch"), ('msgstr "Milch"', 'msgstring "Milch"')):
            broken = text.replace(good, bad)
            (problem,) = problems(broken)
            assert problem.startswith("shop.po:11: ")
            assert read(broken).singular.keys() == {"Tea", "Bread"}

    def test_bytes_that_are_not_utf_8(self) -> None:
        data = po("de", ("Tea", "Tee"), ("Milk", "Käse")).encode().replace("ä".encode(), b"\xe4")
        catalogue = read_catalogue(data, "de", "shop.po")
        assert [str(each) for each in catalogue.problems] == ["shop.po:11: the line is not UTF-8"]
        assert catalogue.singular.keys() == {"Tea"}

    def test_unconfirmed_obsolete_and_empty_entries_are_not_used(self) -> None:
        text = (
            po("de", ("Tea", "")) + '\n#, fuzzy\nmsgid "Milk"\nmsgstr "Mulch"\n\n#~ msgid "Bread"\n#~ msgstr "Brot"\n'
        )
        assert read(text).singular == {}
        assert problems(text) == []

    @given(st.binary(max_size=300))
    def test_no_bytes_raise(self, junk: bytes) -> None:
        read_catalogue(junk, "de", "x.po")
        read_catalogue(po("de", ("Tea", "Tee")).encode() + junk, "de", "x.po")

    @given(st.data())
    def test_no_damage_raises_and_what_is_used_is_sound(self, data: st.DataObject) -> None:
        text = po("de", ("Hi {name}", "Hallo {name}"), ("{count} file", "{count} files", "eine", "{count} Dateien"))
        at = data.draw(st.integers(0, len(text) - 1))
        length = data.draw(st.integers(0, 20))
        damaged = text[:at] + data.draw(st.text(alphabet='"\\{}[]#~msgid\n 0', max_size=5)) + text[at + length :]
        catalogue = read(damaged)
        for source, template in catalogue.singular.items():
            assert template.fields == parse(source).fields

    def test_a_huge_catalogue_is_refused(self) -> None:
        (problem,) = read_catalogue(b"#" * (4 * 1024 * 1024 + 1), "de", "x.po").problems
        assert "larger than" in str(problem)


class TestWords:
    @pytest.mark.parametrize("key", sorted(WORDS))
    def test_english_words_count_in_every_language(self, key: str) -> None:
        made = own()
        for language in made.languages():
            assert words(English(), key) <= words(made.translator(language), key)

    def test_words_of_the_language(self) -> None:
        made = own()
        assert {"ja", "yes"} <= words(made.translator("de-AT"), "yes")
        assert {"annuler", "cancel"} <= words(made.translator("fr"), "cancel")
        assert "نعم" in words(made.translator("ar"), "yes")
        assert "dalej" in words(made.translator("pl"), "more")

    def test_a_word_means_one_thing_in_a_language(self) -> None:
        made = own()
        for language in made.languages():
            seen: dict[str, str] = {}
            for key in WORDS:
                for word in words(made.translator(language), key):
                    assert seen.setdefault(word, key) == key, f"{word!r} in {language}"

    def test_a_translation_that_lists_no_words_is_refused(self) -> None:
        source = WORDS["yes"]
        (problem,) = problems(po("de", (source, "Ja, klar")))
        assert "begins with “words:”" in problem
        assert problems(po("de", (source, "words: Ja, klar"))) == []

    def test_an_unknown_key_is_an_error_of_the_program(self) -> None:
        with pytest.raises(KeyError):
            words(English(), "maybe")
