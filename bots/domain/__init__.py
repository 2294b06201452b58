"""What the bots are about, free of I/O, clock and chance."""
