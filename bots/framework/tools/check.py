"""``rialto plugin check``: everything that can be known of a plugin without running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bots.framework.discovery import Candidate, Found, candidates, load_candidate
from bots.framework.problems import PluginError, PluginProblem
from bots.framework.scopes import SCOPES
from bots.framework.tools.extraction import scan
from bots.framework.tools.translations import Domain, missing, sources_of


@dataclass(frozen=True, slots=True)
class Report:
    """What was found of one plugin; ``found`` is None when it cannot be loaded."""

    label: str
    found: Found | None
    problems: tuple[PluginProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong at all: a check is stricter than the service."""
        return not self.problems

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        found = self.found
        return {
            "plugin": self.label if found is None else found.name,
            "ok": self.ok,
            "source": None if found is None else found.source,
            "scopes": [] if found is None else sorted(found.plugin.scopes),
            "settings": [] if found is None else settings_of(found),
            "problems": [problem.as_json() for problem in self.problems],
        }


def check(path: Path) -> list[Report]:
    """Check every plugin at a path.

    Raises:
        PluginError: there is none.
    """
    there = candidates(path)
    if not there:
        reason = "is no plugin: neither NAME.py, nor a package, nor a project with an entry point of rialto.plugins"
        raise PluginError([PluginProblem(path.name, reason, "plugin_missing", str(path))])
    return [_check_one(candidate) for candidate in there]


def _check_one(candidate: Candidate) -> Report:
    label = candidate.name or candidate.root.stem
    texts = tuple(_translations(candidate.root, label))
    try:
        found = load_candidate(candidate)
    except PluginError as error:
        return Report(label, None, (*error.problems, *texts))
    named = [] if not candidate.name or candidate.name == found.name else [_misnamed(candidate, found)]
    return Report(found.name, found, (*found.warnings, *named, *texts))


def _misnamed(candidate: Candidate, found: Found) -> PluginProblem:
    reason = f"pyproject.toml calls it {candidate.name!r} and the class {found.name!r}: make them agree"
    return PluginProblem(found.name, reason, "plugin_name", str(candidate.root))


def _translations(root: Path, plugin: str) -> list[PluginProblem]:
    """Texts that cannot be translated, and what each language lacks."""
    package = root if root.is_dir() else root.parent
    domain = Domain(package.name if root.is_dir() else root.stem, sources_of(root), package / "locales", None)
    found = scan(domain.sources, domain.root)
    problems = [PluginProblem(plugin, str(problem), "plugin_text") for problem in found.problems]
    problems += [
        PluginProblem(plugin, str(gap), "plugin_translation", str(gap.file), fatal=False)
        for gap in missing(domain, found.catalog)
        if gap
    ]
    return problems


def settings_of(found: Found) -> list[dict[str, Any]]:
    """The settings that a plugin takes."""
    model = found.plugin.Settings
    if model is None:
        return []
    return [
        {
            "name": name,
            "required": field.is_required(),
            "type": getattr(field.annotation, "__name__", str(field.annotation)),
            "description": field.description or "",
        }
        for name, field in model.model_fields.items()
    ]


def scopes_of(found: Found) -> list[str]:
    """The scopes that a plugin asks for, with what each lets it do."""
    return [
        f"{name}: may {SCOPES[name].words}" + ("" if SCOPES[name].harmless else " (the operator grants it)")
        for name in sorted(found.plugin.scopes)
    ]
