"""Reading one catalogue: a gettext ``.po`` file whose bad entries are named and left out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from gettext import c2py

from babel.messages.catalog import Catalog, Message
from babel.messages.pofile import PoFileError, read_po

from bots.framework.i18n.errors import TranslationError
from bots.framework.i18n.marks import PREFIX, split_words
from bots.framework.i18n.tags import locale_of
from bots.framework.i18n.templates import BadField, Template, parse

LARGEST = 4 * 1024 * 1024
"""Bytes of a catalogue; the biggest that people write have a tenth of it."""
_LINE = re.compile(
    r"\s*(?:$|#(?!~)|#~\s*\||(?:#~\s*)?(?:(?:msgctxt|msgid|msgid_plural|msgstr|msgstr\[\d{1,2}\])\s+)?"
    r'"(?:[^"\\]|\\.)*"\s*$)'
)
_TRIES = 100
_COUNTS = (*range(1001), 1_000_000, 10**9)
"""Every plural rule of CLDR for whole numbers repeats within a thousand, but for millions (French, Spanish)."""

RULES: Mapping[str, str] = {
    "ar": "nplurals=6; plural=(n==0 ? 0 : n==1 ? 1 : n==2 ? 2 : n%100>=3 && n%100<=10 ? 3 : n%100>=11 ? 4 : 5);",
}
"""Where Babel's own rule has the forms in another order than CLDR and other tools: zero, one, two, few, many, other."""

PluralRule = Callable[[int], int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The texts of one domain in one language that can be used, and what is wrong with the others."""

    language: str
    singular: Mapping[str, Template] = field(default_factory=dict)
    plural: Mapping[tuple[str, str], tuple[Template, ...]] = field(default_factory=dict)
    rule: PluralRule = int
    problems: tuple[TranslationError, ...] = ()

    def one_of(self, one: str, many: str, count: int) -> Template | None:
        """The form of a text for ``count`` things, or ``None``."""
        forms = self.plural.get((one, many))
        if forms is None:
            return None
        try:
            form = self.rule(abs(count))
        except (ArithmeticError, ValueError, RecursionError):
            return None
        return forms[form] if 0 <= form < len(forms) else None


def read_catalogue(data: bytes, language: str, file: str) -> Catalogue:
    """Read a catalogue; never raises. What cannot be used is in ``problems`` with its line, and left out.

    Args:
        language: of the folder it lies in; the plural rule is the file's ``Plural-Forms``, or CLDR's without one.
        file: how it is called in messages.
    """
    problems: list[TranslationError] = []
    catalog = read_messages(data, language, file, problems)
    if catalog is None:
        return Catalogue(language, problems=tuple(problems))
    rule = plural_rule(catalog, file, problems)
    singular: dict[str, Template] = {}
    plural: dict[tuple[str, str], tuple[Template, ...]] = {}
    for message in catalog:
        if not message.id or message.fuzzy or message.context is not None:
            continue
        try:
            if isinstance(message.id, str):
                if message.string:
                    singular[message.id] = check_singular(message.id, _text(message.string))
            elif rule is not None and any(forms := forms_of(message)):
                one, many = message.id
                plural[one, many] = check_plural(one, many, forms, rule)
        except BadField as error:
            problems.append(TranslationError(file, message.lineno or 1, str(error)))
    return Catalogue(language, singular, plural, rule or int, tuple(problems))


def read_messages(data: bytes, language: str, file: str, problems: list[TranslationError]) -> Catalog | None:
    """The catalogue with the entries that can be read; ``None`` when nothing can."""
    if len(data) > LARGEST:
        problems.append(TranslationError(file, 1, f"the catalogue is larger than {LARGEST} bytes"))
        return None
    lines = _lines(data, file, problems)
    locale = locale_of(language)
    for _ in range(_TRIES):
        try:
            catalog = read_po(lines, locale=locale, abort_invalid=True)
            if not any("Plural-Forms:" in line for line in lines):
                set_rule(catalog, language)
            return catalog
        except PoFileError as error:
            at = min(error.lineno, len(lines) - 1)
            reason = str(error).rsplit(" on ", 1)[0]
        except (ValueError, AssertionError, IndexError, AttributeError, LookupError, TypeError) as error:
            # Babel checks the header's dates and plural forms by using them.
            at = next((number for number, line in enumerate(lines) if line.strip().startswith("msgid")), 0)
            reason = f"the header cannot be read ({error})"
        if not _drop(lines, at):
            problems.append(TranslationError(file, at + 1, reason))
            return None
        problems.append(TranslationError(file, at + 1, reason))
    return None


def set_rule(catalog: Catalog, language: str) -> None:
    """Give a catalogue without ``Plural-Forms`` those of ``RULES``; for other languages it has Babel's."""
    rule = RULES.get(language.partition("-")[0])
    if rule is not None:
        catalog.mime_headers = [("Plural-Forms", rule)]


def plural_rule(catalog: Catalog, file: str, problems: list[TranslationError]) -> PluralRule | None:
    """The rule of the catalogue, tried on every kind of count; ``None`` when it cannot be used."""
    try:
        rule = c2py(catalog.plural_expr)
        for count in _COUNTS:
            if not 0 <= rule(count) < catalog.num_plurals:
                raise ValueError(f"{count} things would have form {rule(count)} of {catalog.num_plurals}")
    except (ValueError, ArithmeticError, RecursionError) as error:
        problems.append(TranslationError(file, 1, f"Plural-Forms cannot be used: {error}"))
        return None
    return rule


def check_singular(source: str, translation: str) -> Template:
    """The translation as a template.

    Raises:
        BadField: its fields are not those of the source text.
    """
    template = parse(translation)
    if source.startswith(PREFIX):
        if not split_words(translation):
            raise BadField(f"the translation of {_short(source)} begins with “{PREFIX}” and lists words")
        return template
    _compare(source, parse(source).fields, parse(source).fields, template)
    return template


def check_plural(one: str, many: str, forms: Sequence[str], rule: PluralRule) -> tuple[Template, ...]:
    """The forms as templates.

    Raises:
        BadField: a form is missing or has other fields than the source texts; or it stands for several counts
            without saying ``{count}`` where English says it.
    """
    missing = [str(number) for number, form in enumerate(forms) if not form]
    if missing:
        raise BadField(f"{_short(one)} has {len(forms)} plural forms in this language; missing: {', '.join(missing)}")
    first, second = parse(one).fields, parse(many).fields
    templates = tuple(parse(form) for form in forms)
    for number, template in enumerate(templates):
        needed = (first & second) - {"count"}
        if "count" in second and sum(rule(count) == number for count in _COUNTS) > 1:
            needed |= {"count"}
        _compare(one, needed, first | second | {"count"}, template)
    return templates


def _compare(source: str, needed: frozenset[str], allowed: frozenset[str], template: Template) -> None:
    if lost := needed - template.fields:
        raise BadField(f"the translation of {_short(source)} lacks {_named(lost)}")
    if strange := template.fields - allowed:
        raise BadField(f"the translation of {_short(source)} has {_named(strange)}, which the text does not have")


def _lines(data: bytes, file: str, problems: list[TranslationError]) -> list[str]:
    lines: list[str] = []
    wrong: list[tuple[int, str]] = []
    for number, raw in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n")):
        try:
            line = raw.decode()
        except UnicodeDecodeError:
            line = ""
            wrong.append((number, "the line is not UTF-8"))
        else:
            if not _LINE.match(line):
                wrong.append((number, "the line is no part of a catalogue; a text stands between double quotes"))
        lines.append(line if line or not wrong or wrong[-1][0] != number else "?")
    for number, reason in wrong:
        problems.append(TranslationError(file, number + 1, reason))
    for number, _reason in wrong:
        _drop(lines, number)
    return lines


def _drop(lines: list[str], at: int) -> bool:
    """Empty the entry around a line, so that the lines after it keep their numbers; whether there was one."""
    if not lines or not lines[at].strip():
        return False
    first = last = at
    while first and lines[first - 1].strip():
        first -= 1
    while last + 1 < len(lines) and lines[last + 1].strip():
        last += 1
    lines[first : last + 1] = [""] * (last + 1 - first)
    return True


def untranslated(catalog: Catalog) -> Iterator[Message]:
    """The entries that have no text yet, or one that nobody confirmed (``fuzzy``)."""
    for message in catalog:
        if message.id and (message.fuzzy or not any(forms_of(message))):
            yield message


def forms_of(message: Message) -> tuple[str, ...]:
    """The texts of an entry: one, or one for each plural form; empty ones where there is none yet."""
    string = message.string
    return (string,) if isinstance(string, str) else tuple(string or ())


def _text(string: object) -> str:
    return string if isinstance(string, str) else ""


def _short(text: str) -> str:
    return f"“{text if len(text) <= 60 else text[:59] + '…'}”"


def _named(names: frozenset[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in sorted(names))
