"""How what a scan shows is dated (spec 04 §7.3, README decisions 30 to 32). No database."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.clouds.aws.describe.diff import DatingRules, RegionScan, Seen, by_name, missed_power_events
from api.clouds.aws.describe.ec2 import (
    PENDING,
    RUNNING,
    SHUTTING_DOWN,
    STOPPED,
    STOPPING,
    TERMINATED,
    UNKNOWN,
    DescribedInstance,
)
from api.clouds.corrections import CLOSE
from api.clouds.load import KnownPower
from api.models.instance import event_rank
from tests.api.clouds.aws.testbed import BEGINNING, at
from tests.api.metering.notation import runs_from_events
from tests.generators.lives import LOGGED, SECOND, STARTS, Life, errors, whole

ASKED, READ, FINISHED = at(12), at(12, 1), at(12, 2)
RULES = DatingRules(is_first=False, enabled_at=BEGINNING, grace=timedelta(minutes=10))
FIRST = RULES._replace(is_first=True)


def described(state=RUNNING, launched_at=None, ended_at=None, name="i-1"):
    return DescribedInstance(
        name, None, "m5.large", None, state, False, {}, launched_at=launched_at, ended_at=ended_at
    )


def scan(*instances, is_complete=True, region="a"):
    seen = [Seen(one, ASKED, READ) for one in instances]
    return RegionScan(region, at(11, 59), FINISHED, seen, is_complete)


def known(
    event_type,
    occurred_at,
    origin="cloudtrail",
    newest_at=None,
    scanned_at=None,
    region="a",
    started_at=None,
):
    newest_at = newest_at or occurred_at
    started_at = occurred_at if event_type == "power_on" else started_at
    state = KnownPower(
        1, region, event_type, occurred_at, origin, scanned_at, newest_at, started_at
    )
    return {"i-1": state}


def found(scans, states=None, rules=RULES):
    scans = scans if isinstance(scans, list) else [scans]
    missing = missed_power_events(scans, states or {}, seen=by_name(scans), rules=rules)
    return [(one.event_type, one.at, one.is_exact) for one in missing]


class TestPendingProvesNothing:
    """Decision 30."""

    @pytest.mark.parametrize("state", [PENDING, UNKNOWN])
    @pytest.mark.parametrize("states", [{}, known("power_on", at(3)), known("power_off", at(3))])
    @pytest.mark.parametrize("rules", [RULES, FIRST])
    def test_it_neither_starts_nor_ends_a_run(self, state, states, rules):
        assert found(scan(described(state, launched_at=at(5))), states, rules) == []

    @pytest.mark.parametrize("state", [STOPPING, SHUTTING_DOWN, STOPPED, TERMINATED])
    def test_these_are_off(self, state):
        assert found(scan(described(state)), known("power_on", at(3))) == [
            ("power_off", READ, False)
        ]


class TestMissedStarts:
    """Decision 31."""

    @pytest.mark.parametrize(
        "states", [{}, known(None, None, newest_at=at(6)), known("power_off", at(3))]
    )
    def test_are_dated_at_the_launch(self, states):
        assert found(scan(described(launched_at=at(5))), states) == [("power_on", at(5), True)]

    @pytest.mark.parametrize(
        "launched_at",
        [
            None,
            pytest.param(at(3), id="not after the newest power-off"),
            pytest.param(READ + timedelta(seconds=1), id="in the future"),
        ],
    )
    def test_or_else_when_the_page_had_been_read(self, launched_at):
        shown = scan(described(launched_at=launched_at))
        assert found(shown, known("power_off", at(3))) == [("power_on", READ, False)]

    def test_nothing_before_the_account_was_enabled_counts(self):
        before = BEGINNING - timedelta(seconds=1)
        assert found(scan(described(launched_at=before))) == [("power_on", READ, False)]
        assert found(scan(described(launched_at=BEGINNING))) == [("power_on", BEGINNING, True)]

    def test_the_first_look_dates_by_its_own_time(self):
        assert found(scan(described(launched_at=at(5))), {}, FIRST) == [("power_on", READ, False)]

    def test_never_before_the_newest_event(self):
        """Decision 41."""
        states = known("power_off", at(3), newest_at=at(12, 30))
        assert found(scan(described()), states) == [("power_on", at(12, 30), False)]

    @pytest.mark.parametrize("launched_at", [None, at(2), at(3), at(3, 1)])
    def test_of_what_is_on_are_none(self, launched_at):
        """A log tells when it was asked to start, and EC2 when it had started."""
        assert found(scan(described(launched_at=launched_at)), known("power_on", at(3))) == []

    def test_another_launch_of_what_is_on_ended_it_at_some_time_before(self):
        shown = scan(described(launched_at=at(3, 2)))
        assert found(shown, known("power_on", at(3))) == [
            ("power_off", at(3, 2), False),
            ("power_on", at(3, 2), True),
        ]
        assert found(shown, known("power_on", at(3)), FIRST) == []


class TestMissedEnds:
    """Decision 31."""

    @pytest.mark.parametrize("state", [STOPPING, STOPPED])
    def test_are_dated_as_the_reason_tells(self, state):
        shown = scan(described(state, ended_at=at(5)))
        assert found(shown, known("power_on", at(3))) == [("power_off", at(5), True)]

    @pytest.mark.parametrize("state", [SHUTTING_DOWN, TERMINATED])
    def test_by_termination_too_but_it_may_have_been_stopped_before(self, state):
        shown = scan(described(state, ended_at=at(5)))
        exact = state == SHUTTING_DOWN
        assert found(shown, known("power_on", at(3))) == [("power_off", at(5), exact)]

    @pytest.mark.parametrize("ended_at", [None, at(2), at(3), READ + timedelta(seconds=1)])
    def test_or_else_when_the_page_had_been_read(self, ended_at):
        shown = scan(described(STOPPED, ended_at=ended_at))
        assert found(shown, known("power_on", at(3))) == [("power_off", READ, False)]

    def test_the_first_look_dates_by_its_own_time(self):
        shown = scan(described(STOPPED, ended_at=at(5)))
        assert found(shown, known("power_on", at(3)), FIRST) == [("power_off", READ, False)]

    def test_of_what_is_not_listed_when_the_last_page_had_been_read(self):
        assert found(scan(), known("power_on", at(3))) == [("power_off", FINISHED, False)]

    def test_not_because_another_region_does_not_list_it(self):
        scans = [scan(), scan(described(), region="b")]
        assert found(scans, known("power_on", at(3))) == []

    def test_not_where_entries_could_not_be_read(self):
        assert found(scan(is_complete=False), known("power_on", at(3))) == []


class TestMissedRuns:
    def test_a_stopped_instance_tells_its_whole_last_run(self):
        shown = scan(described(STOPPED, launched_at=at(5), ended_at=at(6)))
        for states in ({}, known("power_off", at(3))):
            assert found(shown, states) == [("power_on", at(5), True), ("power_off", at(6), True)]

    @pytest.mark.parametrize(
        ("state", "launched_at", "ended_at", "end"),
        [
            pytest.param(STOPPED, at(5), at(5), (READ, False), id="ended within the second"),
            pytest.param(STOPPED, at(5), at(4), (READ, False), id="an older end"),
            pytest.param(STOPPED, at(5), None, (READ, False), id="ended from inside"),
            pytest.param(STOPPED, at(5), at(13), (READ, False), id="an end in the future"),
            pytest.param(SHUTTING_DOWN, at(5), at(6), (at(6), True), id="terminated"),
            pytest.param(TERMINATED, at(5), at(6), (at(6), False), id="stopped before, perhaps"),
        ],
    )
    def test_its_end_is_dated_like_any_other(self, state, launched_at, ended_at, end):
        shown = scan(described(state, launched_at=launched_at, ended_at=ended_at))
        assert found(shown, known("power_off", at(3))) == [
            ("power_on", at(5), True),
            ("power_off", *end),
        ]

    @pytest.mark.parametrize("launched_at", [None, at(3), at(13)])
    def test_without_its_launch_it_is_not_known(self, launched_at):
        shown = scan(described(STOPPED, launched_at=launched_at, ended_at=at(6)))
        assert found(shown, known("power_off", at(3), started_at=at(3))) == []

    def test_of_what_is_on_another_launch_and_its_end_are_told(self):
        """The log of the end before is still to come."""
        shown = scan(described(STOPPED, launched_at=at(5), ended_at=at(6)))
        assert found(shown, known("power_on", at(3))) == [
            ("power_off", at(5), False),
            ("power_on", at(5), True),
            ("power_off", at(6), True),
        ]

    def test_the_end_that_a_log_told_is_no_other_one(self):
        """Stopped while it was being launched: EC2 dates the launch after the stop."""
        stopped = at(3) + timedelta(seconds=5)
        shown = scan(
            described(STOPPED, launched_at=stopped + timedelta(seconds=1), ended_at=stopped)
        )
        assert found(shown, known("power_off", stopped, started_at=at(3))) == []

    @pytest.mark.parametrize("started_at", [None, at(3)])
    @pytest.mark.parametrize("state", [STOPPED, TERMINATED])
    def test_of_a_run_of_which_only_the_end_is_known_the_start_is_told(self, state, started_at):
        shown = scan(described(state, launched_at=at(5), ended_at=at(6)))
        states = known("power_off", at(6), started_at=started_at)
        assert found(shown, states) == [("power_on", at(5), True)]

    @pytest.mark.parametrize("started_at", [at(4, 59), at(5), at(5, 30)])
    def test_of_a_run_that_is_known_nothing_is_told(self, started_at):
        shown = scan(described(STOPPED, launched_at=at(5), ended_at=at(6)))
        assert found(shown, known("power_off", at(6), started_at=started_at)) == []

    def test_what_we_ended_ourselves_was_no_end(self):
        shown = scan(described(STOPPED, launched_at=at(5), ended_at=at(6)))
        assert found(shown, known("power_off", at(7), "pause")) == []

    def test_not_at_the_first_look(self):
        shown = scan(described(STOPPED, launched_at=at(5), ended_at=at(6)))
        assert found(shown, {}, FIRST) == []


class TestGrace:
    """Decision 32: EC2's API is eventually consistent."""

    def test_what_is_young_may_not_be_listed_yet(self):
        young = at(11, 59) - RULES.grace + timedelta(seconds=1)
        assert found(scan(), known("power_on", young)) == []
        assert found(scan(), known("power_on", at(3), newest_at=young)) == []

    def test_what_is_not_young_has_ended(self):
        old = at(11, 59) - RULES.grace
        assert found(scan(), known("power_on", old)) == [("power_off", FINISHED, False)]

    def test_what_is_listed_as_off_is(self):
        young = at(11, 59)
        assert found(scan(described(STOPPED)), known("power_on", young)) == [
            ("power_off", READ, False)
        ]


class TestWhatHappenedMeanwhile:
    """What happened since a page was asked for is not contradicted by it."""

    @pytest.mark.parametrize("seconds", [0, 1, 30, 3600])
    @pytest.mark.parametrize("origin", ["cloudtrail", "describe_reconcile"])
    def test_newer_events_stay(self, seconds, origin):
        when = ASKED + timedelta(seconds=seconds, microseconds=1)
        assert found(scan(described()), known("power_off", when, origin)) == []
        assert found(scan(described(STOPPED)), known("power_on", when, origin)) == []

    def test_a_log_tells_whole_seconds(self):
        when = ASKED - timedelta(milliseconds=999)
        assert found(scan(described(STOPPED)), known("power_on", when)) == []
        assert found(scan(described(STOPPED)), known("power_on", when, "describe_reconcile"))

    def test_what_ec2_told_is_in_whole_seconds_too(self):
        """Launched in the second in which another scan, that saw less, was asked for."""
        states = known("power_on", at(12), "describe_reconcile")
        asked_at = at(12) + timedelta(milliseconds=300)
        older = Seen(described(STOPPED), asked_at, READ)
        assert found(RegionScan("a", asked_at, READ, [older]), states) == []

    @pytest.mark.parametrize("origin", ["disable", "pause", "account_change"])
    def test_what_we_did_ourselves_told_nothing(self, origin):
        states = known("power_off", at(12, 0, 2) + timedelta(minutes=5), origin)
        assert found(scan(described()), states, FIRST) == [("power_on", at(12, 5), False)]

    def test_what_followed_while_the_page_was_read_comes_after_what_it_showed(self):
        """Seen to be on at 12:01, by a page that was asked for at 12:00; stopped at 12:00:30."""
        states = known("power_on", at(12, 1), "describe_reconcile", scanned_at=at(12))
        later = Seen(described(STOPPED, ended_at=at(12, 0) + timedelta(seconds=30)), at(18), at(18))
        shown = RegionScan("a", at(18), at(18), [later])
        assert found(shown, states) == [("power_off", at(12, 1), True)]

    def test_what_followed_within_the_second_too(self):
        seen_off = at(12) + timedelta(microseconds=500)
        states = known("power_off", seen_off, "describe_reconcile", scanned_at=seen_off)
        later = Seen(described(launched_at=at(12)), at(18), at(18))
        shown = RegionScan("a", at(18), at(18), [later])
        assert found(shown, states) == [("power_on", seen_off, True)]


def test_of_an_instance_that_is_listed_twice_the_later_page_counts():
    first = scan(described(RUNNING))
    first.seen.append(Seen(described(STOPPED, name="I-1"), READ, FINISHED))
    assert found(first, known("power_on", at(3))) == [("power_off", FINISHED, False)]
    assert found(first) == []


class Event(NamedTuple):
    """What we know of, since when we know it, and the scan that showed it."""

    at: datetime
    event_type: str
    source_name: str
    stored_at: datetime
    scanned_at: datetime | None = None


@dataclass
class BelievedInstance:
    """One instance, what we believe of it, and for which times we know that we do not know."""

    life: Life = field(default_factory=Life)
    events: list[Event] = field(default_factory=list)
    unsure: list[tuple[datetime, datetime]] = field(default_factory=list)
    scans: list[tuple[datetime, datetime]] = field(default_factory=list)

    @property
    def newest(self):
        return _in_order(self.events)[-1] if self.events else None

    @property
    def started_at(self):
        starts = [one.at for one in self.events if one.event_type == "power_on"]
        return max(starts, default=None)

    @property
    def known(self):
        if self.newest is None:
            return {}
        at, event_type, _, _, scanned_at = self.newest
        origin = "describe_reconcile" if scanned_at else "cloudtrail"
        started_at = max(
            (one.at for one in self.events if one.event_type == "power_on"), default=None
        )
        states = known(event_type, at, origin, scanned_at=scanned_at, started_at=started_at)
        return {self.life.instance_id: states["i-1"]}

    def log(self, change, now):
        event_type = "power_on" if change.kind in STARTS else "power_off"
        self.events.append(Event(whole(change.at), event_type, LOGGED[change.kind], now))

    def scan(self, asked_at, took):
        """RegionScan; returns how much was missing."""
        seen_at, read_at = asked_at + took / 2, asked_at + took
        instance = self.life.described(seen_at)
        shown = RegionScan("a", asked_at, read_at)
        if instance:
            shown.seen.append(Seen(instance, asked_at, read_at))
        rules = RULES._replace(is_first=not self.scans)
        missing = list(missed_power_events([shown], self.known, seen=by_name([shown]), rules=rules))
        since = self._sure_until()
        for one in missing:
            self.unsure.append((one.at if one.is_exact else min(since, one.at), one.at))
            event = Event(one.at, one.event_type, "DescribeInstances", read_at, asked_at)
            self.events.append(event)
        self.unsure.append((asked_at, read_at))
        self.scans.append((asked_at, read_at))
        return len(missing)

    def _sure_until(self):
        """Return the newest event, or the end of the last scan that knew it, as 09 P5 has it."""
        newest = self.newest
        knowing = [
            finished
            for started, finished in self.scans
            if newest is None or newest.stored_at < started or newest.scanned_at == started
        ]
        return max([*knowing[-1:], newest.at if newest else BEGINNING])

    def check(self):
        """Check that what we believe is the truth, but for what we know to be unsure."""
        events = [(*_place(one), one.event_type, None) for one in _in_order(self.events)]
        believed = [(_moment(run.start), _moment(run.end)) for run in runs_from_events(events)]
        assert errors(self.life.spans, believed, unsure=self.unsure) == []


def _micros(moment):
    return (moment - BEGINNING) // timedelta(microseconds=1)


def _moment(micros):
    return None if micros is None else BEGINNING + timedelta(microseconds=micros)


def _in_order(events):
    return sorted(events, key=_place)


def _place(event):
    return _micros(event.at), event_rank(event.source_name)


steps = st.lists(
    st.tuples(
        st.sampled_from(["change", "change", "scan"]),
        st.integers(0, 3),
        st.integers(2_000, 10_000_000),
        st.sampled_from(["in time", "late", "lost", "both lost", "start lost"]),
        st.integers(0, 20_000),
    ),
    max_size=14,
)
"""What to do, which of what is possible, after how many milliseconds, what becomes of the log, and
how many milliseconds a page takes."""


def possible(life):
    if life.is_gone:
        return []
    if not life.changes:
        return ["run"]
    return ["stop", "terminate", "fail"] if life.is_on else ["start", "start", "terminate"]


class Teller:
    """Lets a life happen, with scans and logs in between, as the steps say."""

    def __init__(self):
        self.believed = BelievedInstance()
        self.now = BEGINNING
        self.undelivered: list[tuple[datetime, object]] = []

    def tell(self, plan):
        self.scan(1_000)
        for action, choice, gap, log, took in plan:
            self.go_on(timedelta(milliseconds=gap))
            options = possible(self.believed.life)
            if action == "scan" or not options:
                self.scan(took)
            else:
                self.change(options[choice % len(options)], log, took)
        self.settle(500)
        self.go_on(timedelta(days=10))
        assert not self.undelivered
        self.settle(500)

    def go_on(self, time):
        self.now += time
        due = [one for one in self.undelivered if one[0] <= self.now]
        self.undelivered = [one for one in self.undelivered if one[0] > self.now]
        for _, change in due:
            self.believed.log(change, self.now)

    def scan(self, took):
        missing = self.believed.scan(self.now, timedelta(milliseconds=took))
        self.go_on(timedelta(milliseconds=took + 1_001))
        return missing

    def change(self, kind, log, took):
        if (self.undelivered or log == "start lost") and self._has_just_started():
            # A launch that EC2 dates so soon afterwards is taken for the one that is known.
            kind = "stop" if kind == "fail" else kind
            log = "late" if log == "late" else "in time"
        change = self.believed.life.add(self.now, kind)
        if log == "both lost" and kind in STARTS:
            self.go_on(timedelta(seconds=30))
            self.believed.life.add(self.now, "stop")
            self.settle(took)
        elif log == "start lost" and kind in STARTS:
            self.go_on(CLOSE)
            self.believed.log(self.believed.life.add(self.now, "stop"), self.now)
            self.settle(took)
        elif log in ("lost", "both lost", "start lost") or kind not in LOGGED:
            self.settle(took)
        elif log == "late":
            self.undelivered.append((self.now + timedelta(hours=took % 200), change))
        else:
            self.believed.log(change, self.now)

    def _has_just_started(self):
        started_at = self.believed.started_at
        return started_at is not None and self.now - started_at <= CLOSE + SECOND

    def settle(self, took):
        """Let a scan see what nobody else tells."""
        self.go_on(timedelta(seconds=60))
        self.scan(took)


@settings(max_examples=1000, deadline=None)
@given(steps)
def test_whatever_is_lost_or_late_runs_are_true_but_where_we_say_that_we_are_not_sure(plan):
    teller = Teller()
    teller.tell(plan)
    teller.believed.check()
    assert teller.scan(100) == 0
