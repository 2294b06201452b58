"""``support-desk``: takes people's questions, and lets staff answer them from one room."""

from .plugin import SupportDesk

__all__ = ["SupportDesk"]
