"""The HTTP API for embedding products: ``/api/v1``. What is served stands in one table of endpoints."""
