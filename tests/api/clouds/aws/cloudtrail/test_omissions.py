"""Records that leave out what they are about (decisions 46 and 52; fault 1)."""

import pytest

from api.clouds.aws.cloudtrail.records import Skip, read_log
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import NOON, OMITTED, launched, log_text


def read(*made):
    return read_log(log_text(made))


def seen(log):
    return [(one.instance_id, one.event_type, one.instance_type) for one in log.instance_records]


def unread(log):
    return [(one.record_index, one.account_id, one.occurred_at) for one in log.unread]


def test_a_launch_whose_response_was_omitted_is_to_be_asked_for():
    """Decision 46; fault 1."""
    omitted = trail.run_instances(launched("i-1"), at=NOON) | {"responseElements": OMITTED}
    log = read(trail.noise(1), omitted, trail.run_instances(launched("i-2")))
    assert seen(log) == [("i-2", "power_on", "m5.large")]
    assert log.skipped == {Skip.OTHER_EVENT: 1, Skip.OMITTED: 1}
    assert (log.omitted, log.malformed) == ([1], [])
    assert unread(log) == [(1, "123456789012", NOON)]
    assert log.account_ids == {"123456789012"}


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (trail.stop_instances, "power_off"),
        (trail.terminate_instances, "power_off"),
        (trail.start_instances, "power_on"),
    ],
)
def test_an_omitted_response_of_another_call_leaves_the_ids_of_the_request(make, kind):
    """Decision 46."""
    log = read(make("i-1", "i-2", "i-1") | {"responseElements": OMITTED})
    assert seen(log) == [("i-1", kind, None), ("i-2", kind, None)]
    assert (log.skipped, log.unread) == ({}, [])


def test_an_omitted_request_leaves_what_the_response_says():
    """Decision 46."""
    log = read(
        trail.run_instances(launched("i-1", type="c5.large")) | {"requestParameters": OMITTED},
        trail.stop_instances("i-2") | {"requestParameters": OMITTED},
    )
    assert seen(log) == [("i-1", "power_on", "c5.large"), ("i-2", "power_off", None)]
    assert (log.skipped, log.unread) == ({}, [])


@pytest.mark.parametrize("response", [OMITTED, None, {}])
def test_what_names_no_instance_anywhere_is_to_be_asked_for(response):
    """Decision 46: counted, never silent."""
    log = read(
        trail.stop_instances("i-1") | {"requestParameters": OMITTED, "responseElements": response}
    )
    assert (log.instance_records, log.skipped) == ([], {Skip.OMITTED: 1})
    assert unread(log) == [(0, "123456789012", NOON)]


@pytest.mark.parametrize(
    "response", [None, {}, [], "x", {"instancesSet": None}, {"instancesSet": {"items": [{}]}}]
)
def test_a_launch_without_a_readable_response_is_malformed_and_to_be_asked_for(response):
    """Decision 52, to 46."""
    log = read(trail.run_instances(launched("i-1")) | {"responseElements": response})
    assert (log.instance_records, log.skipped, log.malformed) == ([], {Skip.MALFORMED: 1}, [0])
    assert unread(log) == [(0, "123456789012", NOON)]


WHOLE = [launched("i-1"), launched("i-2")]


@pytest.mark.parametrize(
    "changes",
    [
        {"responseElements": OMITTED | {"instancesSet": {"items": WHOLE}}},
        {"responseElements": {"instancesSet": OMITTED | {"items": WHOLE}}},
        *(
            {"responseElements": {"instancesSet": {"items": [*WHOLE[:1], odd, *WHOLE[1:]]}}}
            for odd in ({}, None, "i-3", {"instanceId": None}, {"instanceId": "i" * 300}, OMITTED)
        ),
        {"requestParameters": {"instancesSet": {"items": [{"imageId": "ami-1", "minCount": 3}]}}},
        {
            "requestParameters": {},
            "responseElements": {"instancesSet": {"items": [*WHOLE, {"instanceId": "i-3"}]}},
        },
    ],
)
def test_a_launch_that_names_only_some_instances_is_to_be_asked_for(changes):
    """Decision 46: what can be read is an event, and EC2 is asked for the others at once."""
    log = read(trail.noise(1), trail.run_instances(*WHOLE, type=None) | changes)
    assert [event[0] for event in seen(log)] == ["i-1", "i-2"]
    assert (log.incomplete, log.skipped) == ([1], {Skip.OTHER_EVENT: 1})
    assert unread(log) == [(1, "123456789012", NOON)]


@pytest.mark.parametrize("make", [trail.stop_instances, trail.terminate_instances])
@pytest.mark.parametrize(
    ("request_ids", "answered", "found", "is_complete"),
    [
        (["i-1", "i-2"], [{"instanceId": "i-1"}, {}], ["i-1", "i-2"], True),
        (["i-1"], [{"instanceId": "i-1"}, {}], ["i-1"], False),
        (["i-1", "i-2"], [{"instanceId": "i-1"}, {}, None], ["i-1", "i-2"], False),
        (["i-1", "i-2"], [{"instanceId": "i-1"}], ["i-1"], True),
    ],
)
def test_entries_of_another_call_that_cannot_be_read(
    make, request_ids, answered, found, is_complete
):
    """Decision 46: the request has their ids; EC2 is asked where it has not."""
    log = read(make(*request_ids) | {"responseElements": {"instancesSet": {"items": answered}}})
    assert [event[0] for event in seen(log)] == found
    assert log.incomplete == ([] if is_complete else [0])
    assert len(unread(log)) == (not is_complete)


def test_nothing_is_asked_for_without_need():
    """A failed launch, one of nobody, one of no time, a stop without any response."""
    unanswered = {"responseElements": None}
    log = read(
        trail.run_instances(launched("i-1"), errorCode="Client.X") | unanswered,
        trail.run_instances(launched("i-1"), identity={"accountId": "x"}) | unanswered,
        trail.run_instances(launched("i-1"), eventTime="x") | unanswered,
        trail.stop_instances("i-1") | unanswered,
        trail.run_instances(launched("i-1", instanceType=None), type=None),
    )
    assert (log.instance_records, log.unread) == ([], [])
    assert log.skipped == {
        Skip.ERROR_CODE: 1,
        Skip.UNKNOWN_ACCOUNT: 1,
        Skip.MALFORMED: 2,
        Skip.NO_TYPE: 1,
    }


@pytest.mark.parametrize("omitted", ["true", 1, False, None])
def test_only_cloudtrail_s_own_mark_means_omitted(omitted):
    made = trail.stop_instances("i-1") | {"responseElements": {"omitted": omitted}}
    log = read(made)
    assert (log.instance_records, log.skipped) == ([], {Skip.MALFORMED: 1})


def test_a_tag_change_that_was_omitted_is_counted_and_asked_for():
    """Decision 46: never silent."""
    made = trail.create_tags("ami-1") | {"requestParameters": OMITTED}
    log = read(made)
    assert (log.tag_changes, log.skipped) == ([], {Skip.OMITTED: 1})
    assert (unread(log), log.unread[0].is_tag_change) == ([(0, "123456789012", NOON)], True)


PARTS = [
    lambda name, items: OMITTED,
    lambda name, items: {name: OMITTED},
    lambda name, items: {name: {"items": OMITTED}},
    lambda name, items: OMITTED | {name: {"items": items}},
    lambda name, items: {name: OMITTED | {"items": items}},
]
"""Where CloudTrail may leave out a list, or parts of it, in a request or a response."""


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(
    ("make", "kind"),
    [(trail.stop_instances, "power_off"), (trail.start_instances, "power_on")],
)
def test_whatever_of_a_response_was_omitted_is_in_the_request(part, make, kind):
    """Decision 46, at any depth."""
    response = part("instancesSet", [{"instanceId": "i-2"}])
    log = read(make("i-1", "i-2") | {"responseElements": response})
    assert sorted(seen(log)) == [("i-1", kind, None), ("i-2", kind, None)]
    assert (log.skipped, log.unread, log.incomplete) == ({}, [], [])


@pytest.mark.parametrize("part", PARTS)
def test_a_launch_of_which_anything_was_omitted_is_to_be_asked_for(part):
    """Decision 46, at any depth."""
    response = part("instancesSet", [launched("i-1")])
    log = read(trail.run_instances(launched("i-1")) | {"responseElements": response})
    assert unread(log) == [(0, "123456789012", NOON)]
    assert log.skipped in ({}, {Skip.OMITTED: 1})
    assert log.incomplete == ([0] if log.instance_records else [])


@pytest.mark.parametrize(
    "request_set",
    [OMITTED | {"items": [{"instanceId": "i-1"}]}, {"items": [{"instanceId": "i-1"}, OMITTED]}],
)
def test_a_stop_of_which_neither_part_names_all_is_to_be_asked_for(request_set):
    """Decision 46."""
    made = trail.stop_instances("i-1") | {"responseElements": OMITTED}
    log = read(made | {"requestParameters": {"instancesSet": request_set}})
    assert seen(log) == [("i-1", "power_off", None)]
    assert (unread(log), log.incomplete) == ([(0, "123456789012", NOON)], [0])


@pytest.mark.parametrize(
    ("details", "found", "reason"),
    [
        (OMITTED, [], Skip.OMITTED),
        ({"instanceIdSet": OMITTED}, [], Skip.OMITTED),
        (OMITTED | {"instanceIdSet": ["i-1"]}, ["i-1"], None),
        ({"instanceIdSet": ["i-1", None]}, ["i-1"], None),
        ({"instanceIdSet": ["i-1", OMITTED, "i-2"]}, ["i-1", "i-2"], None),
    ],
)
def test_a_spot_interruption_of_which_something_was_omitted(details, found, reason):
    """Decision 46: what AWS itself ends is as lost as what is stopped."""
    log = read(trail.spot_interruption("i-1") | {"serviceEventDetails": details})
    assert seen(log) == [(one, "power_off", None) for one in found]
    assert log.skipped == ({reason: 1} if reason else {})
    assert unread(log) == [(0, "123456789012", NOON)]


@pytest.mark.parametrize("parameters", [None, [], "x"])
def test_a_launch_without_a_readable_request_is_malformed_and_to_be_asked_for(parameters):
    """Decision 52, to 46: what is skipped is asked for, whichever part is missing."""
    log = read(trail.run_instances(launched("i-1")) | {"requestParameters": parameters})
    assert (log.instance_records, log.skipped) == ([], {Skip.MALFORMED: 1})
    assert unread(log) == [(0, "123456789012", NOON)]


TAGGED = {"resourcesSet": {"items": [{"resourceId": "ami-1"}]}}


@pytest.mark.parametrize("name", ["CreateTags", "DeleteTags"])
@pytest.mark.parametrize(
    "parameters",
    [
        TAGGED | {"tagSet": OMITTED},
        TAGGED | {"tagSet": {"items": OMITTED}},
        TAGGED | {"tagSet": {"items": [OMITTED]}},
        {"resourcesSet": OMITTED, "tagSet": {"items": [{"key": trail.RHEL_TAG}]}},
        {"resourcesSet": {"items": OMITTED}, "tagSet": {"items": [{"key": trail.RHEL_TAG}]}},
    ],
)
def test_tags_that_were_omitted_are_not_all_tags(name, parameters):
    """Decisions 34 and 46: a list that was left out is not an empty one."""
    log = read(trail.record(name, parameters=parameters))
    assert (log.tag_changes, log.skipped) == ([], {Skip.OMITTED: 1})
    assert [one.is_tag_change for one in log.unread] == [True]


@pytest.mark.parametrize("parameters", [None, [], "x", TAGGED | {"tagSet": "x"}])
def test_tag_changes_that_cannot_be_read_are_to_be_asked_for(parameters):
    log = read(trail.record("CreateTags", parameters=parameters))
    assert (log.tag_changes, log.skipped) == ([], {Skip.MALFORMED: 1})
    assert [one.is_tag_change for one in log.unread] == [True]


def test_tags_of_others_and_of_nobody_are_not_to_be_asked_for():
    nobody = trail.create_tags("ami-1") | {"requestParameters": OMITTED, "eventTime": "x"}
    log = read(trail.create_tags("i-1"), trail.create_tags("ami-1", tags=["foo"]), nobody)
    assert (log.skipped, log.unread) == ({Skip.OTHER_EVENT: 2, Skip.OMITTED: 1}, [])


def test_tags_in_a_list_of_another_form():
    """Decision 34: only a call without keys takes off all tags."""
    other, ours = [{"key": "Name"}], [{"key": trail.RHEL_TAG}]
    calls = [
        trail.record("DeleteTags", parameters=TAGGED | {"tagSet": tags})
        for tags in (other, ours, [])
    ]
    log = read(*calls)
    assert [(one.record_index, one.tag) for one in log.tag_changes] == [
        (1, trail.RHEL_TAG),
        (2, trail.RHEL_TAG),
        (2, trail.OPENSHIFT_TAG),
    ]
