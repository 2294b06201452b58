"""Prometheus metrics: one object, made once in the composition root and handed to whoever counts.

Names start with ``rialto_``; times are seconds. The registry is the object's own, so that several can live in one
process (tests), and it also holds the process, platform and garbage collector metrics of prometheus_client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
WAITS: Final = (60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 259_200.0, 604_800.0)
ANSWERS: Final = (5.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 1_800.0, 3_600.0, 14_400.0, 86_400.0)
SIZES: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)


class Metrics:
    """Everything Rialto counts. ``docs/operating.md`` says which to watch."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        GCCollector(registry=registry)

        def counter(name: str, words: str, *labels: str) -> Counter:
            return Counter(f"rialto_{name}", words, labels, registry=registry)

        def gauge(name: str, words: str, *labels: str) -> Gauge:
            return Gauge(f"rialto_{name}", words, labels, registry=registry)

        def histogram(name: str, words: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"rialto_{name}", words, labels, buckets=buckets, registry=registry)

        self.events_received = counter("events_received", "Events stored in the inbox.")
        self.events_done = counter("events_done", "Events that every consumer has finished.")
        self.events_dead = counter("events_dead", "Events given up after the last attempt (dead letters).", "consumer")
        self.events_retried = counter("events_retried", "Attempts that failed and are tried again.")
        self.events_parked = counter("events_parked", "Encrypted events set aside until their key comes.")
        self.inbox_pending = gauge("inbox_pending", "Events stored and not finished.")
        self.outbox_pending = gauge("outbox_pending", "Messages committed and not sent.")
        self.crypto_parked = gauge("crypto_parked", "Encrypted events that wait for their key right now.")
        self.sends_total = counter("sends", "Sends to the homeserver by outcome.", "outcome")
        self.sends_given_up = counter(
            "sends_given_up", "Messages refused for so long, by a homeserver that works, that their rooms went on."
        )
        self.plugin_problems = gauge("plugin_problems", "What is wrong with plugins: those that do not run, and why.")
        self.plugin_failures = counter(
            "plugin_failures", "Handlers of plugins that failed: error, timeout, flood, blocked.", "plugin", "kind"
        )
        self.plugin_pauses = counter("plugin_pauses", "Pauses of plugins that failed again and again.", "plugin")
        self.plugin_paused = gauge("plugin_paused", "1 while a plugin is paused.", "plugin")
        self.plugin_connected = gauge("plugin_connected", "1 while a plugin outside takes events.", "plugin")
        self.plugin_connections = counter("plugin_connections", "Connections of plugins that became ready.", "plugin")
        self.plugin_refusals = counter(
            "plugin_refusals",
            "What plugins outside were refused, by its code; without a known token no plugin.",
            "plugin",
            "code",
        )
        self.payments_differences = gauge(
            "payments_differences", "Movements that a provider and the ledger do not agree on.", "provider"
        )
        self.bills_unknown = gauge(
            "bills_unknown", "Payments of bills that their billers have not confirmed: the money stays held.", "plugin"
        )
        self.orders_open = gauge("orders_open", "Orders that have not ended, by state.", "plugin", "state")
        self.order_actions = counter("order_actions", "What happened to orders, by action.", "plugin", "action")
        self.order_accept_seconds = histogram(
            "order_accept_seconds", "From an order's payment to its acceptance.", ANSWERS, "plugin"
        )
        self._of_trips(counter, gauge, histogram)
        self.timers_removed = counter("timers_removed", "Messages removed by timers and retention.")
        self.timers_given_up = counter("timers_given_up", "Messages that could not be removed: the steward may not.")
        self.timers_behind_seconds = gauge("timers_behind_seconds", "How late the message is that is removed now.")
        self.reports = counter("reports", "Reports of people and messages.", "source")
        self.reports_open = gauge("reports_open", "Reported messages and people that wait for a moderator.")
        self.report_seconds = histogram("report_seconds", "From a report to the decision about it.", WAITS)
        self.moderation_actions = counter("moderation_actions", "Decisions of moderators that were done.", "action")
        self.policy_bans = counter("policy_bans", "Bans from chats by policy lists.")
        self.floods = counter("floods", "Chats that were closed for a while, for too many came at once.")
        self.invites_limited = counter("invites_limited", "Invitations that were refused or taken back as too many.")
        self.api_requests = counter(
            "api_requests", "Requests to the API by operation and status.", "operation", "status"
        )
        self.api_seconds = histogram("api_seconds", "One request to the API, from its key to its answer.", SLOW)
        self.webhook_deliveries = counter(
            "webhook_deliveries",
            "What products' webhooks were told: delivered, refused (to be tried again), failed.",
            "outcome",
        )
        self.send_seconds = histogram("send_seconds", "One send to the homeserver.", SLOW)
        self.handler_seconds = histogram("handler_seconds", "One run of a consumer's handler.", SLOW, "consumer")
        self.commit_seconds = histogram("commit_seconds", "One group commit.", FAST)
        self.commit_units = histogram("commit_units", "Units of work in one group commit.", SIZES)
        self.transaction_seconds = histogram(
            "transaction_seconds", "A transaction of the homeserver, from its first byte to the answer.", FAST
        )

    def _of_trips(
        self, counter: Callable[..., Counter], gauge: Callable[..., Gauge], histogram: Callable[..., Histogram]
    ) -> None:
        self.trips_open = gauge("trips_open", "Trips that have not ended, by state.", "plugin", "state")
        self.trips_waiting = gauge("trips_waiting", "Trips that wait for a driver, by the last round.", "plugin")
        self.trip_actions = counter("trip_actions", "What happened to trips, by action.", "plugin", "action")
        self.trip_match_seconds = histogram(
            "trip_match_seconds", "From the beginning of a trip's search to its driver.", ANSWERS, "plugin"
        )
        self.trip_offers = counter(
            "trip_offers", "Offers to drivers: open when they are made, then what they came to.", "plugin", "outcome"
        )
        self.round_seconds = histogram("round_seconds", "One round of dispatch.", SLOW, "plugin")

    def render(self) -> tuple[bytes, str]:
        """The text exposition of all metrics, and its content type."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
