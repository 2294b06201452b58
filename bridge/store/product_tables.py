"""Tables of embedding products: keys, people, webhooks. Times are milliseconds since the epoch, UTC."""
