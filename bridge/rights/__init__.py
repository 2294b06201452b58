"""People's rights: a copy of all that is held about them, and to be forgotten."""
