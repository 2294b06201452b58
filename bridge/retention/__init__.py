"""Retention: how long messages are kept at the most, and legal holds, under which nothing is removed."""
