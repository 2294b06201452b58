"""Tables of reports, sanctions and policy lists. Times are milliseconds since the epoch, UTC."""
