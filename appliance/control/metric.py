"""What a program tells Prometheus: metrics under their exact names, read when they are asked for.

prometheus_client keeps histograms and knows the process. The text is written here: it writes all of it at once, takes
three times as long for a line, and calls every counter `_total`, which some of MetalLB's are not.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from prometheus_client import Histogram
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SLICE = 128

# The values of a metric's labels, in their order, and the number they have.
Labelled = tuple[tuple[str, ...], float]


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
    """The present samples of a metric, a line each, made when it is taken; None = something was looked at in vain."""

    metric: Metric
    lines: Iterable[str | None]


def one(metric: Metric, number: float) -> Reading:
    """A metric without labels."""
    return Reading(metric, (_line(metric.name, (), (), number),))


def many(metric: Metric, numbers: Iterable[Labelled | None]) -> Reading:
    """A metric with one number for each combination of its labels' values; no combination may come twice."""
    name, labels = metric.name, metric.labels
    return Reading(metric, (_line(name, labels, *labelled) if labelled else None for labelled in numbers))


def sampled(metric: Metric, samples: Iterable[Sample]) -> Reading:
    """A metric that prometheus_client keeps."""
    kept = (sample for sample in samples if not sample.name.endswith("_created"))
    return Reading(metric, (_line(each.name, tuple(each.labels), each.labels.values(), each.value) for each in kept))


def observed(metric: Metric, histogram: Histogram) -> Reading:
    """A histogram."""
    return sampled(metric, (sample for family in histogram.collect() for sample in family.samples))


def exposition(readings: Iterable[Reading]) -> Iterator[bytes]:
    """Prometheus' text format 0.0.4, in slices that are made when they are taken; what has no sample is left out."""
    for reading in readings:
        metric, lines = reading.metric, iter(reading.lines)
        title = f"# HELP {metric.name} {metric.meaning}\n# TYPE {metric.name} {metric.kind}\n"
        while looked_at := list(islice(lines, _SLICE)):
            text = "".join([line for line in looked_at if line is not None])
            yield (title + text if text else "").encode(errors="replace")
            title = "" if text else title


def _line(name: str, labels: Iterable[str], values: Iterable[str], number: float) -> str:
    pairs = ",".join([f'{label}="{_escaped(written)}"' for label, written in zip(labels, values, strict=True)])
    return f"{name}{{{pairs}}} {float(number)!r}\n" if pairs else f"{name} {float(number)!r}\n"


def _escaped(written: str) -> str:
    return written.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
