"""Drivers, couriers and their trips: what every bot that has something driven or brought stands on. It knows no bot."""
