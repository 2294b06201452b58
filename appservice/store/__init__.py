"""The tables of the engine."""
