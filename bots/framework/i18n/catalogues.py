"""All catalogues of all plugins: found by language, read when they are first needed."""

from __future__ import annotations

import datetime as dt
import logging
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from bots.framework.i18n.catalogue import LARGEST, Catalogue, read_catalogue
from bots.framework.i18n.errors import TranslationError
from bots.framework.i18n.formats import Formats
from bots.framework.i18n.tags import SOURCE, best, chain, is_right_to_left, normalise
from bots.framework.i18n.templates import Template, isolate, of_source

log = logging.getLogger(__name__)

FRAMEWORK = "framework"
"""The domain of the framework's own texts."""
_CATALOGUES = 512
_TRANSLATORS = 1024


@dataclass(frozen=True, slots=True)
class _Step:
    """One language of a fallback chain, with the catalogues of the plugin and of the framework in it."""

    catalogues: tuple[Catalogue, ...]
    formats: Formats
    right_to_left: bool

    def fill(self, template: Template, values: dict[str, Any], counted: str | None = None) -> str:
        def write(name: str, value: Any) -> str:
            return isolate(self.formats.value(value, counted=name == counted), self.right_to_left)

        return template.fill(values, write)


class Translation:
    """Texts of one domain for a person who reads ``language``: a ``Translator``, made by ``Catalogues.translator``.

    Never raises for what a catalogue or a value holds. Values are never read as texts; they are written as the
    language that the text was found in does (with the person's region: an Austrian reads German texts with Austrian
    dates).
    """

    __slots__ = ("_language", "_steps", "formats")

    def __init__(self, language: str, steps: Sequence[_Step], formats: Formats) -> None:
        """
        Args:
            steps: where to look, in order; the last is for the English text in the code.
            formats: the person's.
        """
        self._language = language
        self._steps = tuple(steps)
        self.formats = formats

    @property
    def language(self) -> str:
        """The language as a BCP 47 tag."""
        return self._language

    def t(self, text: str, /, **values: Any) -> str:
        """The text with its fields filled in."""
        for step in self._steps:
            for catalogue in step.catalogues:
                template = catalogue.singular.get(text)
                if template is not None:
                    return step.fill(template, values)
        return self._steps[-1].fill(of_source(text), values)

    def n(self, one: str, many: str, count: int, /, **values: Any) -> str:
        """The text for ``count`` things; ``{count}`` is filled in too."""
        values["count"] = count
        whole = int(count)
        for step in self._steps:
            for catalogue in step.catalogues:
                template = catalogue.one_of(one, many, whole)
                if template is not None:
                    return step.fill(template, values, "count")
        return self._steps[-1].fill(of_source(one if whole == 1 else many), values, "count")


class Catalogues:
    """The catalogues of the framework and of every plugin (a *domain* each).

    A domain's texts lie in ``<root>/<language>/LC_MESSAGES/<domain>.po``. What is wrong in a file is logged, kept in
    ``problems`` and costs only the text it concerns.
    """

    def __init__(self, default: str = SOURCE) -> None:
        """
        Args:
            default: for people whose language is unknown or not there.
        """
        self._default = normalise(default) or SOURCE
        self._roots: dict[str, Traversable] = {}
        self._languages: dict[str, dict[str, Traversable]] = {}
        self._read: OrderedDict[tuple[str, str], Catalogue] = OrderedDict()
        self._translations: OrderedDict[tuple[str, str, dt.tzinfo], Translation] = OrderedDict()
        self._problems: dict[tuple[str, str], tuple[TranslationError, ...]] = {}
        self.add(FRAMEWORK, files("bots.framework") / "locales")

    @property
    def default(self) -> str:
        """The language of people whose own is not there."""
        return self._default

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains there are, the framework's first."""
        return tuple(self._roots)

    @property
    def problems(self) -> tuple[TranslationError, ...]:
        """What is wrong in the catalogues that were read so far."""
        return tuple(problem for each in self._problems.values() for problem in each)

    def add(self, domain: str, root: Traversable) -> None:
        """Add the catalogues of a plugin, or put newer ones in their place. A folder that is not there has none."""
        self._roots[domain] = root
        self._languages[domain] = dict(_languages(root, domain))
        self._translations.clear()
        for key in [key for key in self._read if key[0] == domain]:
            del self._read[key]
        for key in [key for key in self._problems if key[0] == domain]:
            del self._problems[key]

    def add_package(self, domain: str, package: str) -> None:
        """Add the catalogues in a package's ``locales`` folder."""
        self.add(domain, files(package) / "locales")

    def remove(self, domain: str) -> None:
        """Forget a plugin's catalogues."""
        if domain in self._roots and domain != FRAMEWORK:
            self.add(domain, self._roots[domain])
            del self._roots[domain], self._languages[domain]

    def languages(self, domain: str = FRAMEWORK) -> frozenset[str]:
        """The languages that a domain has texts in, English among them."""
        return frozenset({SOURCE, *self._languages.get(domain, ())})

    def load(self, domain: str) -> tuple[TranslationError, ...]:
        """Read every catalogue of a domain now, and say what is wrong with them."""
        for language in self._languages.get(domain, {}):
            self._catalogue(domain, language)
        return tuple(problem for key, each in self._problems.items() if key[0] == domain for problem in each)

    def choose(self, wanted: Sequence[str], domain: str = FRAMEWORK) -> str:
        """The best language for a person in a domain, or the default."""
        return best(wanted, self.languages(domain) | self.languages(FRAMEWORK)) or self._default

    def translator(self, language: str | None, domain: str = FRAMEWORK, zone: dt.tzinfo = dt.UTC) -> Translation:
        """Texts of a domain for a person: by language ``pt-BR``, ``pt``, the default, the English of the code; in each
        the plugin's own text before the framework's.

        Args:
            language: what the person reads; ``None``, or one without texts, is the default.
            zone: where points in time are shown.
        """
        clean = normalise(language) if language else None
        if clean is None or best([clean], self.languages(domain) | self.languages(FRAMEWORK)) is None:
            clean = self._default
        key = (clean, domain, zone)
        found = self._translations.get(key)
        if found is None:
            found = self._translations[key] = self._make(clean, domain, zone)
            if len(self._translations) > _TRANSLATORS:
                self._translations.popitem(last=False)
        else:
            self._translations.move_to_end(key)
        return found

    def _make(self, language: str, domain: str, zone: dt.tzinfo) -> Translation:
        formats = Formats(language, zone)
        steps: list[_Step] = []
        order = [*chain(language), *chain(self._default), SOURCE]
        order = order[: order.index(SOURCE) + 1]  # after English there is always the text in the code
        for each in dict.fromkeys(order):
            catalogues = tuple(
                found
                for name in dict.fromkeys((domain, FRAMEWORK))
                if (found := self._catalogue(name, each)) is not None
            )
            if catalogues:
                steps.append(_Step(catalogues, _nearest(formats, each), is_right_to_left(each)))
        steps.append(_Step((), _nearest(formats, SOURCE), False))
        return Translation(language, steps, formats)

    def _catalogue(self, domain: str, language: str) -> Catalogue | None:
        file = self._languages.get(domain, {}).get(language)
        if file is None:
            return None
        key = (domain, language)
        found = self._read.get(key)
        if found is None:
            found = self._read[key] = _read(file, language)
            self._report(key, found.problems)
            if len(self._read) > _CATALOGUES:
                self._read.popitem(last=False)
        else:
            self._read.move_to_end(key)
        return found

    def _report(self, key: tuple[str, str], problems: tuple[TranslationError, ...]) -> None:
        if problems and key not in self._problems:
            for problem in problems:
                log.warning("a translation is not used: %s", problem, extra={"code": problem.code})
        self._problems[key] = problems


def _languages(root: Traversable, domain: str) -> Sequence[tuple[str, Traversable]]:
    if not root.is_dir():
        return ()
    found = []
    for folder in sorted(root.iterdir(), key=lambda each: each.name):
        language = normalise(folder.name)
        file = folder / "LC_MESSAGES" / f"{domain}.po"
        if language is not None and folder.is_dir() and file.is_file():
            found.append((language, file))
    return found


def _read(file: Traversable, language: str) -> Catalogue:
    name = str(file)
    try:
        with file.open("rb") as stream:
            data = stream.read(LARGEST + 1)
    except OSError as error:
        problem = TranslationError(name, 1, f"the catalogue cannot be read: {error.strerror or error}")
        return Catalogue(language, problems=(problem,))
    return read_catalogue(data, language, name)


def _nearest(formats: Formats, language: str) -> Formats:
    """The person's formats when they are of the language (with their region), else the language's own."""
    theirs = chain(formats.language)
    if language in theirs or theirs[-1] == language.split("-", maxsplit=1)[0]:
        return formats
    return Formats(language, formats.zone)
