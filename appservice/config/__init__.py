"""The configuration of Rialto: the models, and the loader that finds all problems at once."""

from appservice.config.loader import Loaded, load_config, read_config, secrets_of
from appservice.config.models import Config
from appservice.config.problems import ConfigError, Place, Problem

__all__ = ["Config", "ConfigError", "Loaded", "Place", "Problem", "load_config", "read_config", "secrets_of"]
