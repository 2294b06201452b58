"""The endpoints of each area: a handler takes a call apart, asks one service, and shows the answer."""
