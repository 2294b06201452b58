"""Message timers: messages that go by themselves, for everybody, on time."""
