"""Pages of rides: a trip that is shared, and the operator's board."""
