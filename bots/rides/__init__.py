"""Rides and courier: people who want to get somewhere, and people who drive."""
