"""Catalogues for translators: made from the code, kept up to date with it, and checked.

``python -m bots.framework.tools.translations update bots/hub --language de --language fr``
"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import write_po

from bots.framework.i18n.catalogue import read_catalogue, read_messages, set_rule, untranslated
from bots.framework.i18n.errors import TranslationError
from bots.framework.i18n.tags import locale_of, normalise
from bots.framework.tools.extraction import Scan, scan

__all__ = [
    "Domain",
    "Gap",
    "Scan",
    "built_in",
    "domain_of",
    "extract",
    "main",
    "missing",
    "scan",
    "sources_of",
    "update",
]

_WIDTH = 110
_COMMERCE = ("commerce", "shop", "food")
"""The bots that sell say what commerce says for them: their texts lie in its catalogues."""
_BESIDE = {"rides": ("fleet", "routing")}
"""What a bot says for rooms that know no bot: their texts lie in its catalogues too."""


@dataclass(frozen=True, slots=True)
class Domain:
    """Where the texts of a plugin stand, and where their translations lie (``<locales>/<language>/LC_MESSAGES``)."""

    name: str
    sources: tuple[Path, ...]
    locales: Path
    root: Path | None = None

    def file(self, language: str) -> Path:
        """The catalogue of a language."""
        return self.locales / language.replace("-", "_") / "LC_MESSAGES" / f"{self.name}.po"

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that have a catalogue."""
        found = (normalise(file.parent.parent.name) for file in self.locales.glob(f"*/LC_MESSAGES/{self.name}.po"))
        return tuple(sorted(each for each in found if each is not None))


@dataclass(frozen=True, slots=True)
class Gap:
    """What keeps a language from being whole.

    Args:
        missing: texts in the code without a translation, or with one that nobody confirmed.
        stale: texts in the catalogue that the code no longer has.
        problems: what cannot be used in the file.
    """

    domain: str
    language: str
    file: Path
    missing: tuple[str, ...]
    stale: tuple[str, ...]
    problems: tuple[TranslationError, ...]

    def __bool__(self) -> bool:
        return bool(self.missing or self.stale or self.problems)

    def __str__(self) -> str:
        lines = [f"{self.file}: missing: {each}" for each in self.missing]
        lines += [f"{self.file}: no longer in the code: {each}" for each in self.stale]
        lines += [str(each) for each in self.problems]
        return "\n".join(lines)


def built_in(bots: Path) -> tuple[Domain, ...]:
    """The domains of the framework and of the bots that come with it.

    Args:
        bots: the folder of the package ``bots``.
    """
    root = bots.resolve().parent
    framework = Domain("framework", (bots / "framework", bots / "domain"), bots / "framework" / "locales", root)
    names = ("approvals", "funding_web", "pin_page", "pin_rules", "providers/sandbox")
    hosted = (bots / "payments" / f"{name}.py" for name in names)
    pages = Domain("pages", (bots / "pages", *hosted), bots / "pages" / "locales", root)
    sources = tuple(bots / name for name in _COMMERCE if (bots / name).is_dir())
    commerce = Domain("commerce", sources, bots / "commerce" / "locales", root)
    others = {"framework", *_COMMERCE}
    plugins = sorted(file.parent for file in bots.glob("*/plugin.py") if file.parent.name not in others)
    return (framework, pages, commerce, *(domain_of(each, root) for each in plugins))


def domain_of(package: Path, root: Path | None = None) -> Domain:
    """The domain of a plugin's package: named as its folder, with its catalogues in ``locales``."""
    return Domain(package.resolve().name, sources_of(package), package / "locales", root)


def sources_of(package: Path) -> tuple[Path, ...]:
    """The folders whose texts lie in the catalogues of a plugin's package."""
    beside = (package.resolve().parent / name for name in _BESIDE.get(package.resolve().name, ()))
    return (package, *(folder for folder in beside if folder.is_dir()))


def extract(paths: Iterable[Path], root: Path | None = None) -> Catalog:
    """The texts of packages as a catalogue without translations (``scan`` says what else was found)."""
    return scan(paths, root).catalog


def update(domain: Domain, languages: Sequence[str] = (), *, fuzzy: bool = False) -> tuple[Path, ...]:
    """Bring the catalogues in line with the code: new texts come in empty, translations stay, texts that are gone are
    kept as obsolete (``#~``) and come back when the text does.

    Args:
        languages: made when they are not there yet; those there are updated in any case.
        fuzzy: propose the translation of a similar text for a new one, marked to be confirmed.

    Returns:
        The files that changed.

    Raises:
        TranslationError: a catalogue cannot be read as a whole; it is not overwritten.
    """
    template = extract(domain.sources, domain.root)
    changed = []
    for language in sorted({*domain.languages, *(normalise(each) or each for each in languages)}):
        file = domain.file(language)
        before = file.read_bytes() if file.exists() else b""
        catalog = _catalog(before, domain, language, file)
        _revive(catalog, template)
        catalog.update(template, no_fuzzy_matching=not fuzzy, update_creation_date=False)
        after = _written(catalog)
        if after != before:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(after)
            changed.append(file)
    return tuple(changed)


def missing(domain: Domain, template: Catalog | None = None) -> tuple[Gap, ...]:
    """What each language of a domain lacks, one ``Gap`` for each; a gap that is false is none.

    Args:
        template: the texts of the code, when they are known already.
    """
    wanted = _ids(extract(domain.sources, domain.root) if template is None else template)
    gaps = []
    for language in domain.languages:
        file = domain.file(language)
        name = str(file.relative_to(domain.root) if domain.root and file.is_relative_to(domain.root) else file)
        data = file.read_bytes()
        there = read_messages(data, language, name, [])
        have = _ids(there) if there is not None else frozenset()
        empty = frozenset(each.id for each in untranslated(there)) if there is not None else frozenset()
        gaps.append(
            Gap(
                domain.name,
                language,
                file,
                missing=_texts((wanted - have) | (wanted & {_id(each) for each in empty})),
                stale=_texts(have - wanted),
                problems=read_catalogue(data, language, name).problems,
            )
        )
    return tuple(gaps)


def _catalog(data: bytes, domain: Domain, language: str, file: Path) -> Catalog:
    if not data:
        locale = locale_of(language)
        begun = Catalog(
            locale, domain.name, f"# {domain.name}: {language}", project=domain.name, version="1", charset="utf-8",
            fuzzy=False,
            msgid_bugs_address="-", last_translator="-", language_team="-", revision_date=dt.datetime.now(dt.UTC),
        )  # fmt: skip
        set_rule(begun, language)
        return begun
    problems: list[TranslationError] = []
    catalog = read_messages(data, language, str(file), problems)
    if catalog is None or problems:
        raise problems[0]
    return catalog


def _revive(catalog: Catalog, template: Catalog) -> None:
    """Take obsolete translations of texts that are there again back in."""
    wanted = _ids(template)
    for key, message in list(catalog.obsolete.items()):
        if _id(message.id) in wanted:
            catalog[message.id] = message
            del catalog.obsolete[key]


def _written(catalog: Catalog) -> bytes:
    out = io.BytesIO()
    write_po(out, catalog, width=_WIDTH, include_lineno=False)
    return out.getvalue()


def _id(message_id: object) -> str | tuple[str, ...]:
    return message_id if isinstance(message_id, str) else tuple(message_id)  # type: ignore[arg-type]


def _ids(catalog: Catalog) -> frozenset[str | tuple[str, ...]]:
    return frozenset(_id(message.id) for message in catalog if message.id)


def _texts(ids: Iterable[str | tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted(each if isinstance(each, str) else " | ".join(each) for each in ids))


def main(argv: Sequence[str] | None = None) -> int:
    """The command line: 0 when all is well, 1 when texts are missing or cannot be used."""
    parser = argparse.ArgumentParser(prog="translations", description="Catalogues of a plugin's texts.")
    parser.add_argument("action", choices=("extract", "update", "check"))
    parser.add_argument("package", type=Path, help="the plugin's folder")
    parser.add_argument("--domain", help="the name of the catalogues; the folder's without it")
    parser.add_argument("--source", type=Path, action="append", default=[], help="another folder with texts")
    parser.add_argument("--language", action="append", default=[], help="a language to begin, such as de or pt-BR")
    parser.add_argument("--fuzzy", action="store_true", help="propose translations of similar texts")
    given = parser.parse_args(argv)
    package: Path = given.package
    sources = (*sources_of(package), *given.source)
    domain = Domain(given.domain or package.resolve().name, sources, package / "locales", Path.cwd())
    found = scan(domain.sources, domain.root)
    for problem in found.problems:
        sys.stderr.write(f"{problem}\n")
    if given.action == "extract":
        found.catalog.creation_date = dt.datetime.now(dt.UTC)
        write_po(sys.stdout.buffer, found.catalog, width=_WIDTH)
        return bool(found.problems)
    if given.action == "update":
        try:
            changed = update(domain, given.language, fuzzy=given.fuzzy)
        except TranslationError as error:
            sys.stderr.write(f"{error}\n")
            return 1
        for file in changed:
            sys.stdout.write(f"{file}\n")
        return bool(found.problems)
    gaps = [gap for gap in missing(domain, found.catalog) if gap]
    for gap in gaps:
        sys.stdout.write(f"{gap}\n")
    return bool(gaps or found.problems)


if __name__ == "__main__":
    sys.exit(main())
