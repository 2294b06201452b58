"""Tables of invite links, join requests and what channels have. Times are milliseconds since the epoch, UTC."""
