"""The tables of the bot platform and the SQL on them."""
