"""Catalogues as files: CSV and YAML, read with all their faults named, planned before anything happens, and written."""

from bots.commerce.importing.exporting import as_csv, as_yaml
from bots.commerce.importing.plan import Changed, ImportPlan, planned
from bots.commerce.importing.problems import Problem
from bots.commerce.importing.undoing import undone

__all__ = ["Changed", "ImportPlan", "Problem", "as_csv", "as_yaml", "planned", "undone"]
