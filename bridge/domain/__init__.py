"""The messenger's rules, pure: no I/O, no clock, no random."""
