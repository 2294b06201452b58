"""Tables of the search index. Times are milliseconds since the epoch, UTC."""
