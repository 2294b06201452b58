"""The bot platform and the built-in bots."""
