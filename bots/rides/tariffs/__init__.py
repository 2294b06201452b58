"""What an operator asks for trips: a file in YAML, or a part of the settings."""

from bots.rides.tariffs.reading import default_tariff, read_file, read_plain, read_text
from bots.rides.tariffs.settings import TariffSettings

__all__ = ["TariffSettings", "default_tariff", "read_file", "read_plain", "read_text"]
