"""Tables of people's privacy settings. Times are milliseconds since the epoch, UTC."""
