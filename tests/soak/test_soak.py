"""The generator and the judge of the soak, without what they work on."""

import json
from collections import Counter
from datetime import UTC, date, datetime, timedelta

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from deployment.local.demo.expected_usage import TOTAL, expected_usage
from tests.e2e.sources_environment import Customer
from tests.generators import cloudtrail as trail
from tests.soak import judge, plan
from tests.soak.alarms import Alarms, all_rules, conditions, read
from tests.soak.customers import BUSY, Bounds, Image, Live, Machine, Metered, usage_between
from tests.soak.growth import FILES, MEMORY_MIB, SAMPLES, WARM_UP, Growth, Life, Sample, summary

LONG = 20 * 60
DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class TestPlan:
    def test_a_seed_gives_the_same_again_and_another_one_does_not(self):
        assert plan.lanes(7, LONG) == plan.lanes(7, LONG)
        assert plan.lanes(7, LONG) != plan.lanes(8, LONG)

    @given(seed=st.integers(0, 10**6))
    def test_steps_come_in_order_and_end_in_time(self, seed):
        for steps in plan.lanes(seed, 300).values():
            moments = [step.at for step in steps]
            assert moments == sorted(moments)
            assert all(0 <= moment < 300 for moment in moments)

    @given(seed=st.integers(0, 10**6))
    def test_spared_processes_are_only_frozen(self, seed):
        steps = [step for steps in plan.lanes(seed, LONG).values() for step in steps]
        assert {step.kind for step in steps if step.target in plan.SPARED} == {"freeze"}

    def test_a_long_soak_has_a_thousand_faults_of_every_kind(self):
        """1,000 faults at least in the long run; every process is met."""
        lanes = plan.lanes(1, LONG)
        kinds = Counter(step.kind for steps in lanes.values() for step in steps)
        assert sum(kinds.values()) > 1_000
        assert set(kinds) == {
            *("kill", "restart", "freeze", "hang", "lose", "flush", "fail", "slow"),
            *("throttle", "break", "deny", "disturb"),
        }
        killed = {step.target for steps in lanes.values() for step in steps if step.kind == "kill"}
        everybody = {name for part in plan.PARTS for name in plan.slots(part)}
        assert killed == everybody - set(plan.SPARED)

    def test_processes_of_the_two_lanes_are_different_ones(self):
        lanes = plan.lanes(1, LONG)
        one, other = (
            {step.target for step in lanes[name]} for name in ("processes", "other processes")
        )
        assert not one & other


class TestTruth:
    def test_a_span_without_doubt_is_counted_exactly(self):
        spans = [Bounds("a", (NOON, NOON), (NOON + MINUTE, NOON + MINUTE))] * 3
        assert usage_between(spans, DAY) == (3, 3)
        assert usage_between(spans, DAY + timedelta(days=1)) == (0, 0)

    def test_doubt_about_midnight_allows_both(self):
        end = (NOON.replace(hour=23, minute=59), NOON.replace(hour=23, minute=59) + 2 * MINUTE)
        spans = [Bounds("a", (NOON, NOON), end)]
        assert usage_between(spans, DAY) == (1, 1)
        assert usage_between(spans, DAY + timedelta(days=1)) == (0, 1)

    def test_what_may_have_ended_before_it_began_is_not_sure(self):
        spans = [Bounds("a", (NOON, NOON + MINUTE), (NOON, NOON + 2 * MINUTE))]
        assert usage_between(spans, DAY) == (0, 1)

    def test_histories_are_the_same_again_and_told_completely(self):
        one, other = (Metered(Customer(3), 5, DAY) for _ in range(2))
        files = [one.next_history() for _ in range(3)]
        assert [[file.key for file in history] for history in files] == [
            [file.key for file in other.next_history()] for _ in range(3)
        ]
        told = {
            record["eventID"] for history in files for file in history for record in file.records
        }
        assert told == {record["eventID"] for fleet in one.fleets for _, record in fleet.records}
        assert set(one.expected()) == {DAY - timedelta(days=past) for past in range(3)}

    def test_what_a_customer_does_is_logged_and_known(self, frozen_ec2):
        """Each action of a busy customer has a record with the moment that the truth has."""
        live = Live(Customer(4), BUSY, 9)
        live.images = [Image("ami-1", "tagged", is_rhel=True)]
        live.machines = [Machine("i-1", "ami-1")]
        live.came(datetime.now(UTC))
        live.was_described(datetime.now(UTC))
        for _ in range(30):
            live.act(frozen_ec2)
        records = live.next_file().records
        assert len(records) == 30
        names = Counter(record["eventName"] for record in records)
        spans = [span for machine in live.machines for span in machine.spans]
        assert names["RunInstances"] + names["StartInstances"] == len(spans) - 1
        ended = [span for span in spans if span.end]
        assert names["StopInstances"] + names["TerminateInstances"] == len(ended)
        stamps = {record["eventTime"] for record in records}
        assert all(trail.stamp(span.end[0]) in stamps for span in ended)
        marks = names["CreateTags"] + names["DeleteTags"]
        assert live.images[0].is_rhel == (marks % 2 == 0)

    def test_nothing_is_expected_of_who_left(self):
        live = Live(Customer(4), BUSY, 9)
        live.images = [Image("ami-1", "tagged", is_rhel=True)]
        live.machines = [Machine("i-1", "ami-1", [Bounds("ami-1", (NOON, NOON))])]
        assert live.expected([DAY]) == {DAY: (1, 1)}
        live.is_deleted = True
        assert live.expected([DAY]) == {DAY: (0, 0)}

    def test_the_reference_counts_what_is_on_at_once(self):
        spans = [
            Bounds("a", (NOON, NOON), (NOON + MINUTE, NOON + MINUTE)),
            Bounds("a", (NOON + MINUTE, NOON + MINUTE)),
        ]
        exact = [one.perhaps() for one in spans]
        assert expected_usage(exact, DAY)[TOTAL] == 1


class _Ec2:
    """Answers a client's calls with ids that nobody had before."""

    def __init__(self):
        self.made = 0

    def run_instances(self, **_):
        self.made += 1
        return {"Instances": [{"InstanceId": f"i-new{self.made}"}]}

    def _nothing(self, **_):
        return {}

    stop_instances = start_instances = terminate_instances = _nothing
    create_tags = delete_tags = _nothing


@pytest.fixture
def frozen_ec2():
    return _Ec2()


def lived(*, memory=100.0, files=20, grows_by=0.0, opens=0.0, samples=4 * SAMPLES):
    life = Life("worker-1", 0.0)
    for number in range(samples):
        at = WARM_UP + number
        life.samples.append(
            Sample(at, memory + grows_by * number / samples, int(files + opens * number), 5)
        )
    return life


class TestGrowth:
    @pytest.mark.parametrize(
        ("held", "grew"),
        [
            ({}, False),
            ({"grows_by": MEMORY_MIB / 2}, False),
            ({"grows_by": 2 * MEMORY_MIB}, True),
            ({"opens": 2 * FILES / SAMPLES}, True),
            ({"grows_by": 10 * MEMORY_MIB, "samples": SAMPLES - 1}, False),
        ],
    )
    def test_growth_is_seen_and_a_short_life_tells_nothing(self, held, grew):
        growth = Growth()
        growth._lives[1] = lived(**held)
        assert bool(growth.problems()) == grew

    def test_what_is_opened_while_it_begins_is_no_growth(self):
        life = lived()
        life.samples.insert(0, Sample(0.0, 1.0, 1, 0))
        assert summary(life.told)["memory_mib_early"] == 100.0


RULES = [
    {"alert": "Gauge", "expr": 'max by (namespace) (cloudigrade_some{state="dead"}) > 2'},
    {"alert": "Rise", "expr": "max by (namespace) (increase(cloudigrade_more_total[1h])) > 0"},
    {"alert": "Other", "expr": "absent(cloudigrade_some)"},
]


class TestAlarms:
    def test_a_gauge_is_on_above_its_limit_for_its_label_alone(self):
        alarms = Alarms("", RULES)
        assert alarms.look(read('cloudigrade_some{state="dead"} 2\n')) == set()
        assert alarms.look(read('cloudigrade_some{state="new"} 9\n')) == set()
        assert alarms.look(read('cloudigrade_some{state="dead"} 3\n')) == {"Gauge"}
        assert alarms.held == {"Gauge": 1}
        assert alarms.not_judged == ["Other"]

    def test_a_counter_is_on_once_it_has_risen(self):
        alarms = Alarms("", RULES)
        first = 'cloudigrade_more_total{name="a"} 5\n'
        assert alarms.look(read(first)) == set()
        assert alarms.look(read(first)) == set()
        assert alarms.look(read(first + 'cloudigrade_more_total{name="b"} 1\n')) == {"Rise"}
        assert alarms.look(read('cloudigrade_more_total{name="a"} 6\n')) == {"Rise"}

    def test_many_of_the_product_s_rules_are_judged(self):
        names = {one.alert for one in conditions(all_rules())}
        assert {"CloudigradeNumberUnexplained", "CloudigradeTasksAreSetAside"} <= names
        assert len(names) >= 15


class _Deployment:
    """Answers with rows that a test made up."""

    def __init__(self, rows):
        self.rows = rows

    def query(self, *_):
        return self.rows

    def urls(self, _):
        return ["http://nowhere"]


class TestJudge:
    TODAY = datetime.now(UTC).date()

    def live(self):
        live = Live(Customer(4), BUSY, 9)
        live.images = [Image("ami-1", "tagged", is_rhel=True)]
        begin = datetime.now(UTC) - timedelta(days=1)
        live.came(begin)
        live.described_at = begin
        live.machines = [Machine("i-1", "ami-1", [Bounds("ami-1", (begin, begin))])]
        return live

    @pytest.mark.parametrize(
        ("stored", "shown", "is_wrong"), [(1, 1, False), (2, 2, True), (0, 0, True), (1, 2, True)]
    )
    def test_wrong_numbers_are_seen(self, monkeypatch, stored, shown, is_wrong):
        live = self.live()
        yesterday = self.TODAY - timedelta(days=1)
        rows = [
            (live.customer.account_number, day, [["_ANY"] * 5 + [stored]])
            for day in (yesterday, self.TODAY)
        ]
        answer = requests.Response()
        answer.status_code = 200
        facets = dict.fromkeys(("arch", "role", "sla", "usage", "service_type"), "_ANY")
        counts = [facets | {"instances_count": shown}]
        days = [{"date": str(yesterday), "maximum_counts": counts}]
        answer._content = json.dumps({"data": days}).encode()
        monkeypatch.setattr(judge, "ask", lambda *_: answer)
        monkeypatch.setattr(judge, "SECONDS_FOR_NUMBERS", 0)
        assert bool(judge.Numbers(_Deployment(rows)).wrong([], [live])) == is_wrong

    def test_lost_invented_and_doubled_events_are_seen(self):
        metered = Metered(Customer(3), 5, DAY)
        metered.next_history()
        events = sorted(metered.fleets[0].expected.events)
        assert judge.wrong_events(_Deployment(events), [metered]) == []
        invented = ("i-never", "power_on", NOON)
        for wrong in (events[1:], [*events, invented], [*events, events[0]]):
            assert len(judge.wrong_events(_Deployment(wrong), [metered])) == 1
