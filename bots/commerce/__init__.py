"""Commerce: what the bots that sell are handed. Merchants, catalogue, carts, orders, couriers; it knows no bot."""
