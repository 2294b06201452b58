"""Bills: found, paid, remembered."""
