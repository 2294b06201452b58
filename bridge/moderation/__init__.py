"""Moderation: reports and what is decided about them, policy lists, floods."""
