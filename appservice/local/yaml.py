"""YAML text for files that we generate."""

from __future__ import annotations

import io
from typing import Any

from ruamel.yaml import YAML


def to_yaml(value: Any) -> str:
    """``value`` as YAML text."""
    stream = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096  # never fold: a token broken over two lines is hard to copy
    yaml.dump(value, stream)
    return stream.getvalue()
