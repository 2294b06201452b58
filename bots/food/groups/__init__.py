"""Orders of groups: everybody in a room adds their own, one pays or each pays a share."""

from bots.food.groups.book import GroupBook
from bots.food.groups.chat import Grouping
from bots.food.groups.purse import GroupPurse

__all__ = ["GroupBook", "GroupPurse", "Grouping"]
