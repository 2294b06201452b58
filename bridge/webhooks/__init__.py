"""What products are told as it happens: signed, kept until it is taken, never the content of a message."""
