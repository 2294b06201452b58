"""Where the settings of the plugin say what trips cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, ValidationInfo, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from appservice.config.problems import ConfigError
from bots.domain.tariffs import Tariff
from bots.rides.tariffs.reading import default_tariff, read_file, read_plain

__all__ = ["TariffSettings"]


class TariffSettings(BaseModel):
    """For the plugin's settings to inherit: a file, or the tariff itself, or neither: the one of the demo city.

    What is wrong with a tariff that stands here is told with its line in the configuration; with a file, by the file's
    own lines.
    """

    tariff_file: str = Field(
        "", description="A YAML file with what trips cost, relative to this file; empty: what stands under tariff."
    )
    tariff: dict[str, Any] | None = Field(
        None, description="What trips cost, as in a file; without it and a file, the tariff of the demo city."
    )
    _made: Tariff = PrivateAttr()

    @model_validator(mode="after")
    def _priced(self, info: ValidationInfo) -> Self:
        if self.tariff_file and self.tariff is not None:
            raise ValueError("needs tariff_file or tariff, not both")
        if self.tariff_file:
            folder = (info.context or {}).get("folder", Path())
            try:
                self._made = read_file(Path(folder) / self.tariff_file)
            except ConfigError as error:
                raise _errors(type(self), [(("tariff_file",), f"names {each}") for each in error.problems]) from None
        elif self.tariff is not None:
            made, found = read_plain(self.tariff)
            if made is None:
                raise _errors(type(self), [(("tariff", *path), reason) for path, reason in found])
            self._made = made
        else:
            self._made = default_tariff()
        return self

    def made(self) -> Tariff:
        """What trips cost."""
        return self._made


def _errors(model: type[BaseModel], found: list[tuple[tuple[str, ...], str]]) -> ValidationError:
    """One error of the model with all of them, each where it stands."""
    errors: list[InitErrorDetails] = [
        # As pydantic has what a validator raises: its words are taken as they are.
        {
            "type": PydanticCustomError("value_error", "Value error, {error}", {"error": reason}),
            "loc": path,
            "input": None,
        }
        for path, reason in found
    ]
    return ValidationError.from_exception_data(model.__name__, errors)
