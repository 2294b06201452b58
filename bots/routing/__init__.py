"""How long the way takes, and where a place is: behind one interface each."""
