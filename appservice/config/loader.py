"""From ``config.yaml`` and the environment to a :class:`Config`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from appservice.config.models import Config
from appservice.config.problems import ConfigError, Problem


def load_config(path: Path, environ: Mapping[str, str] = os.environ) -> Config:
    """Read the file at ``path``. Raises :class:`ConfigError` holding all problems."""
    try:
        data = YAML(typ="safe").load(path.read_text("utf-8"))
        config = Config.model_validate(data)
    except (OSError, YAMLError) as error:
        raise ConfigError([Problem(str(path), "", type(error).__name__)]) from None
    except ValidationError as error:
        raise ConfigError(
            [Problem(str(path), ".".join(map(str, each["loc"])), each["msg"]) for each in error.errors()]
        ) from None
    url = config.database.url
    if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
        url = f"sqlite:///{(path.parent / url.removeprefix('sqlite:///')).resolve()}"
        config = config.model_copy(update={"database": config.database.model_copy(update={"url": url})})
    return config
