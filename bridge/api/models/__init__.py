"""What goes into the API and comes out of it: pydantic models, from which the OpenAPI document is made."""
