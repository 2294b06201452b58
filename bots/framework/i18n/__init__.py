"""Translations: texts in a person's language, and numbers, money and dates as that language writes them."""

from bots.framework.i18n.catalogues import FRAMEWORK, Catalogues, Translation
from bots.framework.i18n.errors import TranslationError
from bots.framework.i18n.formats import Formats
from bots.framework.i18n.marks import WORDS, _, fold, words
from bots.framework.i18n.people import ZoneAnswer, parse_language, parse_zone
from bots.framework.i18n.tags import best, display_name, is_right_to_left, normalise
from bots.framework.i18n.translator import English, Translator

__all__ = [
    "FRAMEWORK",
    "WORDS",
    "Catalogues",
    "English",
    "Formats",
    "Translation",
    "TranslationError",
    "Translator",
    "ZoneAnswer",
    "_",
    "best",
    "display_name",
    "fold",
    "is_right_to_left",
    "normalise",
    "parse_language",
    "parse_zone",
    "words",
]
