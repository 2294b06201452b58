"""Commands of the messenger: ``rialto product …``."""
