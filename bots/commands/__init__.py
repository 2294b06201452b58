"""The parts of the command line that are about bots."""
