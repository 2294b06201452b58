"""Conversations as straight functions: they are replayed from a journal on every answer, and nothing of them is held in
memory between two.
"""

from bots.framework.dialogs.answers import Attachment, Said
from bots.framework.dialogs.codec import Unrecordable
from bots.framework.dialogs.dialog import Dialog
from bots.framework.dialogs.errors import DeterminismError, DialogError, DialogTooLong
from bots.framework.dialogs.payments import Payment, Payments, PaymentsMissing

__all__ = [
    "Attachment",
    "DeterminismError",
    "Dialog",
    "DialogError",
    "DialogTooLong",
    "Payment",
    "Payments",
    "PaymentsMissing",
    "Said",
    "Unrecordable",
]
