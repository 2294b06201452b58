"""Small pages that the service serves: links that work once, forms, a look."""
