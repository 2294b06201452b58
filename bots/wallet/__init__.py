"""The wallet: people's own money."""
