"""A real Synapse, real Rialto processes and people with matrix-nio for the end-to-end tests."""

from tests.support.browser import chromium
from tests.support.fixtures import alice, bob, new_human, rialto, synapse

__all__ = ["alice", "bob", "chromium", "new_human", "rialto", "synapse"]
