"""Random lives of instances, counted second by second beside (spec 11 §1, acceptance 7)."""

import datetime
import random

import pytest
import time_machine

from api.measures.buckets import Granularity, buckets_between
from api.measures.question import DIMENSIONS, Question
from api.measures.usage import usage
from api.metering import recalculate
from api.metering.facets import ANY
from api.models import InstanceFact
from tests import factories
from tests.api.measures.reference import Machine, measures
from tests.api.metering.notation import at, day

pytestmark = pytest.mark.django_db

SIZES = {"m5.large": (2, 8192), "m5.xlarge": (4, 16384)}
TYPES = [*SIZES, "x9.huge"]
FIRST, LAST = at("10T21"), at("11T03")
SUMS = ("instance_seconds", "vcpu_seconds", "memory_mib_seconds", "unsized_seconds")


class Fleet:
    """Some instances of a customer whose events lie around a midnight, many at one moment."""

    def __init__(self, environment, seed):
        self.random = random.Random(seed)
        self.user = environment.user
        self.machines = []
        accounts = [environment.account, factories.make_aws_account(user=self.user)]
        images = [
            environment.image(),
            environment.image(architecture="arm64"),
            environment.image(result={"rhel_release_files_found": True}),
            environment.plain_image(),
        ]
        for _ in range(self.random.randrange(3, 9)):
            image = self.random.choice(images)
            account = self.random.choice(accounts)
            region = self.random.choice(["us-east-1", "eu-west-1"])
            instance = factories.make_instance(account=account, image=image, region=region)
            machine = Machine({"group": None}, self.events())
            self.store(instance, machine)
            machine.labels = {
                "account": account.id,
                "arch": image.architecture,
                "role": image.role,
                "region": region,
                "image": image.id,
            }
            if image.is_rhel:
                self.machines.append(machine)

    def moment(self):
        """A moment: on an hour or second that others share, or any microsecond."""
        seconds = self.random.choice([0, 3600 * 3, self.random.randrange(5 * 3600)])
        micros = self.random.choice([0, 0, 900_000, self.random.randrange(10**6)])
        return FIRST + datetime.timedelta(seconds=seconds, microseconds=micros)

    def events(self):
        moments = sorted({self.moment() for _ in range(self.random.randrange(1, 7))})
        kinds = ["power_on", "power_off", "power_on", "attribute_change"]
        events = []
        for number, moment in enumerate(moments):
            kind = self.random.choice(kinds) if number else "power_on"
            name = self.random.choice([None, *TYPES]) if kind != "power_off" else None
            events.append((moment, kind, name))
        return events

    def store(self, instance, machine):
        for moment, kind, name in machine.events:
            factories.make_event(
                instance=instance, event_type=kind, occurred_at=moment, instance_type=name
            )
        types = [name for _, _, name in machine.events if name]
        if types and types.count(types[0]) == 1 and self.random.random() < 0.3:
            machine.cpus = 1
            InstanceFact.objects.create(
                instance=instance,
                observed_at=machine.events[0][0],
                source="cloudtrail",
                instance_type=types[0],
                cpu_cores=1,
                threads_per_core=1,
            )

    def ask(self, granularity, begin, end, now, dimensions=(), **more):
        question = Question(
            user_id=self.user.id,
            joined=day(1),
            granularity=granularity,
            buckets=buckets_between(begin, end, granularity, now=now),
            now=now,
            dimensions=dimensions,
            **more,
        )
        return usage(question, limit=10_000, offset=0)[1]

    def by(self, label):
        for machine in self.machines:
            machine.labels["group"] = machine.labels.get(label)
        return self.machines


@pytest.fixture(params=range(6))
def fleet(request, environment):
    fleet = Fleet(environment, request.param)
    for now in ("11T05", "12T01"):
        with time_machine.travel(at(now), tick=False):
            recalculate.recalculate_runs_of_all_accounts(since=at("01T00"))
            recalculate.recalculate_usage_of_all_users()
    return fleet


@pytest.mark.parametrize("label", ["", "account", "arch", "role", "region", "image"])
def test_hours_are_what_counting_seconds_gives(fleet, label):
    machines = fleet.by(label)
    now = fleet.random.choice([at("12T01"), fleet.moment() + datetime.timedelta(hours=1)])
    with time_machine.travel(now, tick=False):
        end = min(LAST, now.replace(minute=0, second=0, microsecond=0) + HOUR)
        rows = fleet.ask(Granularity.HOUR, FIRST, end, now, (label,) if label else ())
    found = {(row["start"], row["group"].get(label)): row for row in rows}
    begin = FIRST
    while begin < end:
        expected = measures(machines, begin, begin + HOUR, now=now, sizes=SIZES)
        groups = {group for start, group in found if start == begin}
        assert groups - {None} == expected.keys() - {None}
        for group, row in expected.items():
            shown = found[begin, group]
            assert {name: shown[name] for name in (*SUMS, "peak")} == {
                name: row[name] for name in (*SUMS, "peak")
            }
        begin += HOUR


HOUR = datetime.timedelta(hours=1)
MARCH = at("01T00"), at("01T00").replace(month=4)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_acceptance_7_groups_add_up_to_the_total(fleet, dimension):
    """For each dimension, and hours to days, days to the month; equal to what is stored."""
    now = at("12T01")
    days = fleet.ask(Granularity.DAY, at("09T00"), at("13T00"), now)
    groups = fleet.ask(Granularity.DAY, at("09T00"), at("13T00"), now, (dimension,))
    hours = fleet.ask(Granularity.HOUR, at("09T00"), at("12T02"), now, (dimension,))
    (month,) = fleet.ask(Granularity.MONTH, *MARCH, now)
    months = fleet.ask(Granularity.MONTH, *MARCH, now, (dimension,))
    for name in SUMS:
        for each in days:
            for parts in (groups, hours):
                some = [row for row in parts if each["start"] <= row["start"] < each["end"]]
                assert sum(row[name] for row in some) == each[name]
        for parts in (days, groups, hours, months):
            assert sum(row[name] for row in parts) == month[name]
    assert month["peak"] == max(row["peak"] for row in days)
    assert all(row["peak"] for row in (*groups, *hours, *months))


@pytest.mark.parametrize("dimension", ["", "arch", "role"])
def test_peaks_are_those_of_concurrent(fleet, environment, dimension):
    """The largest hour is the day's value; filters and groups show the keys of 07 §5.1."""
    now = at("12T01")
    groups = (dimension,) if dimension else ()
    days = fleet.ask(Granularity.DAY, at("10T00"), at("12T00"), now, groups)
    hours = fleet.ask(Granularity.HOUR, at("10T00"), at("12T00"), now, groups)
    for number in (10, 11):
        counts = environment.counts(number)
        of_day = [row for row in days if row["start"].day == number]
        for row in of_day:
            value = row["group"].get(dimension)
            peaks = [
                hour["peak"]
                for hour in hours
                if hour["start"].day == number and hour["group"].get(dimension) == value
            ]
            key = [ANY] * 5
            if dimension:
                key[["arch", "role"].index(dimension)] = value
            assert row["peak"] == max(peaks) == counts.get(tuple(key), 0)
            if dimension:
                (filtered,) = fleet.ask(
                    Granularity.DAY,
                    row["start"],
                    row["end"],
                    now,
                    filters={dimension: [value]},
                )
                assert {**filtered, "group": row["group"]} == row


@pytest.mark.parametrize("dimensions", [("account", "arch"), ("arch", "role"), ("image", "region")])
def test_two_dimensions_add_up(fleet, dimensions):
    now = at("12T01")
    pairs = fleet.ask(Granularity.DAY, at("09T00"), at("13T00"), now, dimensions)
    for one in dimensions:
        singles = fleet.ask(Granularity.DAY, at("09T00"), at("13T00"), now, (one,))
        for row in singles:
            parts = [
                pair["instance_seconds"]
                for pair in pairs
                if (pair["start"], pair["group"][one]) == (row["start"], row["group"][one])
            ]
            assert sum(parts) == row["instance_seconds"]


def test_stored_sums_are_those_of_the_runs(fleet, environment):
    """Both ways to a day give the same; see ``api.measures.stored``."""
    now = at("12T01")
    for groups in ((), ("arch",), ("role", "sla"), ("service_type",)):
        stored = fleet.ask(Granularity.DAY, at("09T00"), at("12T00"), now, groups)
        # Everything is excluded that there is not: that is asked of the runs.
        computed = fleet.ask(
            Granularity.DAY, at("09T00"), at("12T00"), now, groups, excludes={"account": [0]}
        )
        assert stored == computed
