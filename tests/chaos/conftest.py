"""The real Synapse and its people, for the chaos tests that need them."""

from tests.support.fixtures import alice, bob, new_human, rialto, synapse

__all__ = ["alice", "bob", "new_human", "rialto", "synapse"]
