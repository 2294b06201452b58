"""The merchant's side: sign-up and approval, the staff room with its orders, catalogue, hours, reports and money."""

from bots.commerce.desk.desk import Desk, Desks, DeskSettings

__all__ = ["Desk", "DeskSettings", "Desks"]
