"""Money: the ledger, payments and their providers, for the bots."""
