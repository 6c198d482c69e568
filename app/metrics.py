"""Prometheus metrics. No text, key or user's name is ever a label."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

_AUDIO_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)


@dataclass(frozen=True, slots=True)
class TierFigures:
    """What a tier of the cache has done so far."""

    hits: int
    misses: int
    errors: int
    damaged: int
    dropped: int


@dataclass(frozen=True, slots=True)
class CacheFigures:
    """Read from the cache: what is held, what goes on, and what the tiers have done, by name.

    `archive_bytes` is None where it is not known, `redis_errors` counts calls that failed,
    `over_budget` entries that Redis kept for a moment only since their owner had used up his budget.
    """

    memory_bytes: int
    archive_bytes: int | None
    flights: int
    redis_errors: int
    over_budget: int
    tiers: Mapping[str, TierFigures]


class _CacheCollector(Collector):
    def __init__(self, read: Callable[[], CacheFigures]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        figures = self._read()
        yield GaugeMetricFamily("refrain_cache_bytes", "Bytes in the memory tier.", figures.memory_bytes)
        if figures.archive_bytes is not None:
            help_ = "Bytes in the archive's directory, as last counted."
            yield GaugeMetricFamily("refrain_archive_bytes", help_, figures.archive_bytes)
        yield GaugeMetricFamily("refrain_flights", "Syntheses under way in this process.", figures.flights)
        yield CounterMetricFamily(
            "refrain_redis_errors", "Calls to Redis that failed or ran out of time.", figures.redis_errors
        )
        yield CounterMetricFamily(
            "refrain_cache_over_budget",
            "Entries not kept in Redis: their owner had stored more than his budget.",
            figures.over_budget,
        )
        yield from _tiers(figures.tiers)


def _tiers(tiers: Mapping[str, TierFigures]) -> Iterator[CounterMetricFamily]:
    lookups = CounterMetricFamily(
        "refrain_cache_lookups",
        "Entries asked of a tier: hit, miss. Each is asked for what those above it lack.",
        labels=["tier", "outcome"],
    )
    faults = CounterMetricFamily(
        "refrain_cache_faults",
        "Of a tier: error (it failed or ran out of time), damaged (entries found out), dropped (not written).",
        labels=["tier", "kind"],
    )
    for name, tier in tiers.items():
        lookups.add_metric([name, "hit"], tier.hits)
        lookups.add_metric([name, "miss"], tier.misses)
        faults.add_metric([name, "error"], tier.errors)
        faults.add_metric([name, "damaged"], tier.damaged)
        faults.add_metric([name, "dropped"], tier.dropped)
    yield lookups
    yield faults


_STATES = {"closed": 0, "half_open": 1, "open": 2}


class _CircuitCollector(Collector):
    """Reads the circuits when the page is asked for."""

    def __init__(
        self, states: Callable[[], Mapping[str, str]], retries: Callable[[], Mapping[str, int]]
    ) -> None:
        self._states = states
        self._retries = retries

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """As Prometheus wants it."""
        family = GaugeMetricFamily(
            "refrain_circuit_state",
            "0: the provider is asked, 1: it is being probed, 2: it is not asked.",
            labels=["provider"],
        )
        for provider, state in self._states().items():
            family.add_metric([provider], _STATES[state])
        yield family
        counted = CounterMetricFamily(
            "refrain_provider_retries", "Attempts behind an utterance's first.", labels=["provider"]
        )
        for provider, count in self._retries().items():
            counted.add_metric([provider], count)
        yield counted


class _GateCollector(Collector):
    """Reads the gates when the page is asked for."""

    def __init__(self, read: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        self._read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """As Prometheus wants it."""
        waiting = GaugeMetricFamily(
            "refrain_provider_waiting",
            "Utterances that wait for room at the provider's account, in this process.",
            labels=["provider"],
        )
        under_way = GaugeMetricFamily(
            "refrain_provider_under_way",
            "Utterances asked of the provider whose sound has not been left, in this process.",
            labels=["provider"],
        )
        for provider, (ahead, now) in self._read().items():
            waiting.add_metric([provider], ahead)
            under_way.add_metric([provider], now)
        yield waiting
        yield under_way


def _of(counter: Counter, provider: str) -> Iterator[Sample]:
    for family in counter.collect():
        yield from (sample for sample in family.samples if sample.labels["provider"] == provider)


class Metrics:
    """The process's metrics, on a registry of their own so that two apps in one process do not mix."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a second time series for each counter, of no use to anybody here
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "refrain_requests", "Requests answered.", ["route", "status"], registry=registry
        )
        self.first_audio = Histogram(
            "refrain_time_to_first_audio_seconds",
            "From the end of the request's body to the first sound.",
            buckets=_AUDIO_BUCKETS,
            registry=registry,
        )
        self.chunks = Counter(
            "refrain_chunks",
            "Chunks answered: hit, stale (a hit that is made anew), joined, made, failed.",
            ["outcome"],
            registry=registry,
        )
        self.provider_requests = Counter(
            "refrain_provider_requests",
            "Syntheses asked of a provider, by how they ended.",
            ["provider", "outcome"],
            registry=registry,
        )
        self.bad_audio = Counter(
            "refrain_bad_audio",
            "Answers of a provider that were refused as no sound, by kind of poison.",
            ["provider", "kind"],
            registry=registry,
        )
        self.hedges = Counter(
            "refrain_hedges",
            "First chunks asked of a second provider because the first was slow, and whether that was heard.",
            ["provider", "won"],
            registry=registry,
        )
        self.provider_seconds = Histogram(
            "refrain_provider_seconds", "From asking to the checked end.", ["provider"], registry=registry
        )
        self.characters = Counter(
            "refrain_characters", "Characters, charged or saved by the cache.", ["kind"], registry=registry
        )
        self.spend = Counter(
            "refrain_spend", "Estimated, in the currency of the prices.", ["provider"], registry=registry
        )

    def watch(self, read: Callable[[], CacheFigures]) -> None:
        """Have the cache's own figures read whenever the page is asked for."""
        self.registry.register(_CacheCollector(read))

    def watch_circuits(
        self, states: Callable[[], Mapping[str, str]], retries: Callable[[], Mapping[str, int]]
    ) -> None:
        """Have the circuits' states (closed, half_open, open) and retries read whenever the page is asked for."""
        self.registry.register(_CircuitCollector(states, retries))

    def watch_gates(self, read: Callable[[], Mapping[str, tuple[int, int]]]) -> None:
        """Have it read, by provider, how many wait and how many are under way whenever the page is asked for."""
        self.registry.register(_GateCollector(read))

    def asked(self) -> float:
        """Chunks asked for so far, however they were answered."""
        return sum(sample.value for family in self.chunks.collect() for sample in family.samples)

    def ended(self, provider: str) -> dict[str, int]:
        """How often syntheses asked of this provider ended in each way."""
        return {
            sample.labels["outcome"]: int(sample.value) for sample in _of(self.provider_requests, provider)
        }

    def spent(self, provider: str) -> float:
        """What this provider has cost, estimated, in the currency of the prices."""
        return sum(sample.value for sample in _of(self.spend, provider))

    def render(self) -> bytes:
        """The page for Prometheus."""
        return generate_latest(self.registry)
