"""The buyer's side, for every bot that sells: addresses, cart, extras, checkout, orders, cases, ratings, wishes."""
