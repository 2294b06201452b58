"""``@food``: restaurants near somebody, menus, group orders, couriers."""

from bots.food.plugin import Food

__all__ = ["Food"]
