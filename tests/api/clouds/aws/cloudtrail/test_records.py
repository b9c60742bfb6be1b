"""What CloudTrail records say (spec 04 §8.5-§8.7, §8.9, §11)."""

import codecs
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.clouds.aws.cloudtrail import records
from api.clouds.aws.cloudtrail.records import Skip, Traits, read_log
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import NOON, launched, log_text
from tests.generators.json_forms import forms


def read(*made):
    return read_log(log_text(made))


def seen(log):
    return [(one.instance_id, one.event_type, one.instance_type) for one in log.instance_records]


def reasons(*made):
    log = read(*made)
    assert not log.instance_records
    assert not log.tag_changes
    return dict(log.skipped)


def test_a_launch():
    item = launched("i-1", image="ami-1", type="t3.nano", subnet="subnet-9")
    (instance_record,) = read(trail.noise(1), trail.run_instances(item, at=NOON)).instance_records
    assert instance_record.record_index == 1
    assert (instance_record.event_name, instance_record.event_type) == ("RunInstances", "power_on")
    assert instance_record.occurred_at == NOON
    assert (instance_record.region, instance_record.account_id) == ("us-east-1", "123456789012")
    assert (instance_record.instance_id, instance_record.image_id) == ("i-1", "ami-1")
    assert (instance_record.instance_type, instance_record.subnet) == ("m5.large", "subnet-9")
    assert instance_record.event_id == trail.run_instances(item, at=NOON)["eventID"]
    assert instance_record.traits == Traits(None, None, "default", "us-east-1a", 1, 2)


def test_a_launch_tells_of_market_and_product():
    item = launched(
        "i-1",
        instanceLifecycle="spot",
        productCodes={"items": [{"productCode": "abc", "type": "marketplace"}]},
    )
    (instance_record,) = read(trail.run_instances(item)).instance_records
    assert instance_record.traits.lifecycle == "spot"
    assert instance_record.traits.product_codes == [
        {"ProductCodeId": "abc", "ProductCodeType": "marketplace"}
    ]


def test_several_instances_in_one_launch():
    log = read(trail.run_instances(*(launched(f"i-{number}") for number in range(20))))
    assert [one.instance_id for one in log.instance_records] == [
        f"i-{number}" for number in range(20)
    ]


def test_scenario_36_the_type_of_a_launch_template_is_in_the_response():
    items = [launched("i-1", type="c5.large"), launched("i-2", type="c5.xlarge")]
    log = read(trail.run_instances(*items, template="lt-1"))
    assert seen(log) == [("i-1", "power_on", "c5.large"), ("i-2", "power_on", "c5.xlarge")]


def test_a_launch_without_any_type_is_skipped():
    item = launched("i-1")
    del item["instanceType"]
    assert reasons(trail.run_instances(item, type=None)) == {Skip.NO_TYPE: 1}


@pytest.mark.parametrize("identity", [trail.autoscaling(), trail.fleet(), trail.spot()])
def test_launches_by_services_of_aws(identity):
    log = read(trail.run_instances(launched("i-1"), identity=identity))
    assert seen(log) == [("i-1", "power_on", "m5.large")]


def test_scenario_02_start_stop_reboot_and_type_change():
    log = read(
        trail.reboot_instances("i-1"),
        trail.stop_instances("i-1", "i-2"),
        trail.modify_instance("i-1", "c5.large"),
        trail.start_instances("i-1"),
        trail.terminate_instances("i-2"),
    )
    assert seen(log) == [
        ("i-1", "power_off", None),
        ("i-2", "power_off", None),
        ("i-1", "attribute_change", "c5.large"),
        ("i-1", "power_on", None),
        ("i-2", "power_off", None),
    ]
    assert log.skipped == {Skip.OTHER_EVENT: 1}


def test_a_single_instance_is_named_in_the_request():
    made = trail.record("StartInstance", parameters={"instanceId": "i-1"}, response=None)
    assert seen(read(made)) == [("i-1", "power_on", None)]


def test_a_type_change_in_its_other_spellings():
    texts = [
        {"instanceId": "i-1", "instanceType": "c5.large"},
        {"instanceId": "i-1", "attribute": "instanceType", "value": "c5.large"},
    ]
    for parameters in texts:
        made = trail.record("ModifyInstanceAttribute", parameters=parameters)
        assert seen(read(made)) == [("i-1", "attribute_change", "c5.large")]


def test_scenario_08_another_attribute_is_no_event():
    assert reasons(trail.modify_instance("i-1")) == {Skip.NO_TYPE: 1}


def test_an_instance_is_seen_once_per_record():
    made = trail.stop_instances("i-1", "i-1")
    made["requestParameters"]["instanceId"] = "i-1"
    assert len(read(made).instance_records) == 1


def test_a_spot_interruption_switches_off():
    log = read(trail.spot_interruption("i-1", "i-2"))
    assert seen(log) == [("i-1", "power_off", None), ("i-2", "power_off", None)]
    assert log.instance_records[0].account_id == "123456789012"


@pytest.mark.parametrize("code", ["Client.InstanceLimitExceeded", "Client.DryRunOperation"])
def test_scenario_09_failed_calls(code):
    assert reasons(trail.run_instances(launched("i-1"), errorCode=code)) == {Skip.ERROR_CODE: 1}


@pytest.mark.parametrize("code", [None, ""])
def test_an_empty_error_code_is_none(code):
    assert len(read(trail.run_instances(launched("i-1"), errorCode=code)).instance_records) == 1


@pytest.mark.parametrize(
    "name", ["RequestSpotInstances", "ModifyInstancePlacement", "RegisterImage", "CreateFleet"]
)
def test_other_events(name):
    assert reasons(trail.record(name, parameters={"instanceId": "i-1"})) == {Skip.OTHER_EVENT: 1}


def test_other_sources():
    made = trail.record(
        "TerminateInstanceInAutoScalingGroup",
        parameters={"instanceId": "i-1"},
        eventSource="autoscaling.amazonaws.com",
    )
    assert reasons(made) == {Skip.OTHER_SOURCE: 1}


@pytest.mark.parametrize("spelling", ["12345678901", "012345678901", 12345678901])
def test_spellings_of_the_account(spelling):
    made = trail.run_instances(launched("i-1"), identity={"accountId": spelling})
    assert read(made).instance_records[0].account_id == "012345678901"


@pytest.mark.parametrize(
    "identity", [{"type": "AWSService"}, {"accountId": None}, {"accountId": ""}]
)
def test_a_record_without_account_is_its_recipients(identity):
    made = trail.run_instances(launched("i-1"), identity=identity)
    assert read(made).instance_records[0].account_id == "123456789012"


def test_an_account_that_is_none():
    made = trail.run_instances(launched("i-1"), identity={"accountId": "ANONYMOUS_PRINCIPAL"})
    assert reasons(made) == {Skip.UNKNOWN_ACCOUNT: 1}


def items(*made):
    return {"responseElements": {"instancesSet": {"items": list(made)}}}


ODD = {
    "no parameters": {"requestParameters": None},
    "parameters that are text": {"requestParameters": "{}"},
    "no response": {"responseElements": None},
    "a response that is a list": {"responseElements": []},
    "items that are no list": {"responseElements": {"instancesSet": {"items": {"a": 1}}}},
    "items that are no objects": items("i-1", None),
    "no instance id": items({"imageId": "ami-1"}),
    "an id that is a number": {
        "responseElements": {"instancesSet": {"items": [{"instanceId": 1}]}}
    },
    "an id with NUL": items({"instanceId": "i\0"}),
    "half a character": {
        "responseElements": {"instancesSet": {"items": [{"instanceId": "\ud800"}]}}
    },
    "an endless id": items({"instanceId": "i" * 999}),
    "no time": {"eventTime": None},
    "a time that is none": {"eventTime": "yesterday"},
    "a time that is a number": {"eventTime": 1577966400},
    "a time before all time": {"eventTime": "0001-01-01T00:00:00+14:00"},
    "no region": {"awsRegion": None},
    "a region that is a list": {"awsRegion": ["us-east-1"]},
    "an endless region": {"awsRegion": "us-" + "x" * 200 + "-1"},
    "a region with a blank": {"awsRegion": "us east 1"},
    "a region that is a host": {"awsRegion": "evil.example/us-east-1"},
    "an empty region": {"awsRegion": ""},
    "no account anywhere": {"userIdentity": None, "recipientAccountId": None},
    "an identity that is text": {"userIdentity": "root", "recipientAccountId": ""},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_scenario_35_an_odd_record_does_not_stop_its_neighbours(changes):
    odd = trail.run_instances(launched("i-odd")) | changes
    log = read(trail.run_instances(launched("i-1")), odd, trail.run_instances(launched("i-2")))
    assert [one.instance_id for one in log.instance_records] == ["i-1", "i-2"]
    assert log.skipped == {Skip.MALFORMED: 1}
    assert log.malformed == [1]


@pytest.mark.parametrize("member", ["eventTime", "awsRegion", "requestParameters"])
def test_a_missing_member_is_like_null(member):
    made = trail.run_instances(launched("i-1"))
    del made[member]
    assert reasons(made) == {Skip.MALFORMED: 1}


@pytest.mark.parametrize("odd", [None, 1, "text", [], True])
def test_records_that_are_no_objects(odd):
    log = read(trail.run_instances(launched("i-1")), odd)
    assert len(log.instance_records) == 1
    assert log.skipped == {Skip.MALFORMED: 1}


def test_odd_optional_members_are_unknown():
    item = launched("i-1", imageId=7, subnetId=["x"], placement="x", cpuOptions={"coreCount": "1"})
    (instance_record,) = read(trail.run_instances(item)).instance_records
    assert (instance_record.image_id, instance_record.subnet) == (None, None)
    assert instance_record.traits == Traits(None, None, None, None, None, None)


def test_a_type_that_is_too_long_is_unknown():
    assert reasons(trail.modify_instance("i-1", "x" * 65)) == {Skip.NO_TYPE: 1}
    assert seen(read(trail.run_instances(launched("i-1"), type="x" * 65)))[0][2] == "m5.large"


def test_times_of_other_zones():
    made = trail.run_instances(launched("i-1"), eventTime="2020-01-02T14:00:00+02:00")
    (instance_record,) = read(made).instance_records
    assert instance_record.occurred_at == datetime(2020, 1, 2, 12, tzinfo=UTC)
    assert instance_record.occurred_at.utcoffset() == timedelta(0)


def test_scenario_15_tags_of_images():
    log = read(
        trail.create_tags("ami-1", "i-1", "ami-2", tags=["x", trail.OPENSHIFT_TAG]),
        trail.delete_tags("ami-1", tags=[trail.RHEL_TAG, trail.OPENSHIFT_TAG]),
    )
    assert [(one.record_index, one.image_id, one.tag, one.present) for one in log.tag_changes] == [
        (0, "ami-1", records.OPENSHIFT_TAG, True),
        (0, "ami-2", records.OPENSHIFT_TAG, True),
        (1, "ami-1", records.RHEL_TAG, False),
        (1, "ami-1", records.OPENSHIFT_TAG, False),
    ]


def test_scenario_17_other_tags_and_other_resources():
    assert reasons(
        trail.create_tags("ami-7", tags=["foo"]),
        trail.create_tags("i-1"),
        trail.create_tags("ami-7", tags=[trail.RHEL_TAG.upper()]),
    ) == {Skip.OTHER_EVENT: 3}


@pytest.mark.parametrize(
    "tag_set", [{}, {"items": []}, None, {"items": None}, {"items": [{"value": "x"}]}]
)
def test_all_tags_are_taken_off_at_once(tag_set):
    """Decision 34; fault 6: DeleteTags without keys removes ours."""
    parameters = {"resourcesSet": {"items": [{"resourceId": "ami-1"}]}, "tagSet": tag_set}
    without = {"resourcesSet": parameters["resourcesSet"]}
    for request in (parameters, without):
        (rhel, openshift) = read(trail.record("DeleteTags", parameters=request)).tag_changes
        assert (rhel.image_id, rhel.tag, rhel.present) == ("ami-1", trail.RHEL_TAG, False)
        assert openshift == rhel._replace(tag=trail.OPENSHIFT_TAG)
        assert rhel.account_id == "123456789012"


def test_no_tag_is_put_on_without_keys():
    parameters = {"resourcesSet": {"items": [{"resourceId": "ami-1"}]}, "tagSet": {}}
    assert reasons(trail.record("CreateTags", parameters=parameters)) == {Skip.OTHER_EVENT: 1}


@pytest.mark.parametrize("tag_set", ["x", {"items": "x"}, {"items": {"key": trail.RHEL_TAG}}])
def test_tags_in_no_list(tag_set):
    parameters = {"resourcesSet": {"items": [{"resourceId": "ami-1"}]}, "tagSet": tag_set}
    assert reasons(trail.record("DeleteTags", parameters=parameters)) == {Skip.MALFORMED: 1}


def test_odd_tag_records():
    parameters = {"resourcesSet": {"items": [{"resourceId": "ami-1"}]}, "tagSet": {"items": [{}]}}
    assert reasons(
        trail.record("CreateTags", parameters=None),
        trail.record("CreateTags", parameters=parameters),
        trail.record("CreateTags", parameters=parameters | {"tagSet": {"items": [{"key": []}]}}),
        trail.create_tags("ami-1", eventTime=None),
    ) == {Skip.MALFORMED: 2, Skip.OTHER_EVENT: 2}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
good = st.sampled_from(
    [
        trail.run_instances(launched("i-1")),
        trail.run_instances(launched("i-2"), template="lt-1"),
        trail.stop_instances("i-1", "i-2"),
        trail.modify_instance("i-1", "t2.micro"),
        trail.spot_interruption("i-3"),
        trail.create_tags("ami-1"),
        trail.noise(3),
    ]
)


@st.composite
def damaged_records(draw):
    """A good record with something inside replaced by anything."""
    made = json.loads(json.dumps(draw(good)))
    record_index = made
    for _ in range(draw(st.integers(0, 5))):
        keys = (
            sorted(record_index)
            if isinstance(record_index, dict)
            else list(range(len(record_index)))
        )
        if not keys:
            break
        key = draw(st.sampled_from(keys))
        if isinstance(record_index[key], dict | list) and draw(st.booleans()):
            record_index = record_index[key]
        else:
            record_index[key] = draw(json_values)
            break
    return made


@settings(max_examples=500)
@given(st.lists(damaged_records() | json_values, max_size=6))
def test_no_record_raises_and_each_is_relevant_or_skipped(made):
    log = read_log(json.dumps({"Records": made}).encode())
    places = {one.record_index for one in log.instance_records} | {
        one.record_index for one in log.tag_changes
    }
    assert log.records == len(made) == len(places) + log.skipped.total()
    for instance_record in log.instance_records:
        assert instance_record.occurred_at.tzinfo is UTC
        assert len(instance_record.account_id) == 12
        assert instance_record.instance_id


@settings(max_examples=300)
@given(st.lists(damaged_records() | json_values, max_size=6), st.data())
def test_any_form_of_a_file_says_the_same(made, data):
    """Issue 14, item 2: what a log says depends on what it says, not on how it is spelled."""
    document = {"Records": made}
    log = read_log(data.draw(forms(document)))
    plain = read_log(codecs.BOM_UTF8 + json.dumps(document).encode())
    assert log == plain
