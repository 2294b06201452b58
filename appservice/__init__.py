"""Transport with the homeserver: listener, inbox, worker, outbox, encryption, config and command line."""

__version__ = "0.1.0"
