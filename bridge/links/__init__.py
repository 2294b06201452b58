"""Invite links and requests to join."""
