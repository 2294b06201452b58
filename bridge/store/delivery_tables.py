"""Tables of sequence numbers and delivery states. Times are milliseconds since the epoch, UTC."""
