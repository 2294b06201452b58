"""The local stack: a Synapse of our own, Rialto beside it, and the supervisor that watches both."""
