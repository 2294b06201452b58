"""Tables of message timers, retention and legal holds. Times are milliseconds since the epoch, UTC."""
