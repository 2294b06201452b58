"""A day in a city, through the dispatcher and the state machines as they are, with a clock that is not the wall's."""
