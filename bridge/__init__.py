"""The messenger: what rooms mean to people."""
