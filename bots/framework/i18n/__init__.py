"""Translations: texts in a person's language, and numbers, money and dates as that language writes them."""

from bots.framework.i18n.translator import English, Translator

__all__ = ["English", "Translator"]
