"""A small Matrix client for the terminal, on matrix-nio, with end-to-end encryption."""
