"""Who sends bills and takes their money: one interface, simulated ones, and real ones over HTTP."""

from bots.bills.billers.base import Biller, Billers
from bots.bills.billers.http import HttpBiller
from bots.bills.billers.simulated import SimulatedBiller, simulated

__all__ = ["Biller", "Billers", "HttpBiller", "SimulatedBiller", "simulated"]
