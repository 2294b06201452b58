"""The configuration of Rialto: the models, and the loader that finds all problems at once."""

from appservice.config.loader import load_config
from appservice.config.models import Config
from appservice.config.problems import ConfigError, Problem

__all__ = ["Config", "ConfigError", "Problem", "load_config"]
