"""Mini apps: the catalogue and the cart as pages for a phone, beside the conversation and in step with it."""
