"""``lunch-picker``: asks a group where to eat."""

from .plugin import LunchPicker

__all__ = ["LunchPicker"]
