"""The notation of spec 07 §13: ``10T01`` is 01:00 on 10 March 2023."""

import datetime
from operator import itemgetter

from api.metering.concurrency import daily_peaks
from api.metering.facets import ANY, Facets, Key
from api.metering.timeline import Course
from api.models.instance import ORDINARY_RANK

MICROSECOND = datetime.timedelta(microseconds=1)
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)

SERVER = "Red Hat Enterprise Linux Server"
RHEL = Facets("x86_64", SERVER, "Premium", "Production", "L3")


def at(text):
    """Read ``10T01``, ``10T01:30`` or a whole ISO moment."""
    day, time = text.rsplit("T", 1)
    if len(day) == 2:
        day = f"2023-03-{day}"
    moment = datetime.datetime.fromisoformat(f"{day}T{time if ':' in time else time + ':00'}")
    return moment.replace(tzinfo=datetime.UTC)


def day(number):
    return datetime.date(2023, 3, number)


def micros(moment):
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def moment(instant):
    return None if instant is None else EPOCH + instant * MICROSECOND


def events(text):
    """Read ``on 10T01, off 10T02`` into (moment, type) in the order given."""
    pairs = (word.split() for word in text.split(","))
    return [(at(when), f"power_{kind}") for kind, when in pairs]


def course(given):
    """Return the course of an instance with events in the order in which they were stored."""
    return Course(sorted(given, key=itemgetter(0, 1)))


def runs_from_events(given):
    """Return the runs of such an instance."""
    return list(course(given).runs())


def runs(text):
    """Return the runs of one instance's events as pairs of moments."""
    stored = [(micros(when), ORDINARY_RANK, kind, None) for when, kind in events(text)]
    return [(moment(run.start), moment(run.end)) for run in runs_from_events(stored)]


def peaks(instances, first, last=None):
    """Return each day's counts for [(events, facets), ...]; days are numbers in March 2023."""
    facets = list(dict.fromkeys(combination for _, combination in instances))
    spans = [
        (micros(start), micros(end), facets.index(combination))
        for text, combination in instances
        for start, end in runs(text)
    ]
    window = daily_peaks(spans, dict(enumerate(facets)), day(first), day(last or first))
    return {date.day: dict(counts) for date, counts in window}


def key(arch=ANY, role=ANY, sla=ANY, usage=ANY, service_type=ANY):
    return Key(arch, role, sla, usage, service_type)


FIRST_KEYS = [
    key(),
    key(service_type="L3"),
    key(usage="Production"),
    key(usage="Production", service_type="L3"),
    key(sla="Premium"),
    key(sla="Premium", service_type="L3"),
    key(sla="Premium", usage="Production"),
    key(sla="Premium", usage="Production", service_type="L3"),
    key(arch="x86_64"),
]
"""The first keys that ``RHEL`` counts for, in their order (spec 07 §5.1)."""
