"""What a program tells Prometheus: metrics under their exact names, read when they are asked for.

prometheus_client writes the samples. The lines above them are written here: it would call every counter `_total`, and
MetalLB's are not all.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from prometheus_client import Histogram, metrics_core
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.samples import Sample

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SLICE = 64


class MetricKind(StrEnum):
    """Prometheus' kinds of metrics; of a COUNTER only the growth means something."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric as it is exposed; of a histogram, `buckets` are the upper bounds but for the last, which is infinite."""

    name: str
    kind: MetricKind
    meaning: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    def histogram(self) -> Histogram:
        """What observations are put into."""
        return Histogram(self.name, self.meaning, registry=None, buckets=self.buckets)


@dataclass(frozen=True, slots=True)
class Reading:
    """The present samples of a metric; each may be made when it is taken. None = something was looked at in vain."""

    metric: Metric
    samples: Iterable[Sample | None]


Labelled = tuple[tuple[str, ...], float]


def one(metric: Metric, number: float) -> Reading:
    """A metric without labels."""
    return Reading(metric, (Sample(metric.name, {}, number),))


def many(metric: Metric, numbers: Iterable[Labelled | None]) -> Reading:
    """A metric with one number for each combination of its labels' values; no combination may come twice."""
    return Reading(metric, (_sample(metric, *labelled) if labelled else None for labelled in numbers))


def _sample(metric: Metric, values: tuple[str, ...], number: float) -> Sample:
    return Sample(metric.name, dict(zip(metric.labels, values, strict=True)), number)


def observed(metric: Metric, histogram: Histogram) -> Reading:
    """A histogram."""
    found = (sample for collected in histogram.collect() for sample in collected.samples)
    return Reading(metric, (sample for sample in found if not sample.name.endswith("_created")))


def exposition(readings: Iterable[Reading]) -> Iterator[bytes]:
    """Prometheus' text format 0.0.4, in slices that are made when they are taken; what has no sample is left out."""
    for reading in readings:
        samples = iter(reading.samples)
        title = _title(reading.metric)
        while looked_at := list(islice(samples, _SLICE)):
            found = [sample for sample in looked_at if sample is not None]
            if found:
                yield title + _lines(found)
                title = b""
            else:
                yield b""


def _title(metric: Metric) -> bytes:
    return f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n".encode()


def _lines(samples: list[Sample]) -> bytes:
    family = metrics_core.Metric("slice", "", "unknown")
    family.samples = samples
    _help, _type, lines = generate_latest(_Collected(family)).split(b"\n", 2)
    return lines


class _Collected:
    """One family, as prometheus_client takes it."""

    def __init__(self, family: metrics_core.Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[metrics_core.Metric]:
        """The family."""
        return (self._family,)
