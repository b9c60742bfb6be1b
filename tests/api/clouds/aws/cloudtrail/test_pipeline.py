"""Ingest from queue to runs: the acceptance scenarios of spec 04 §14."""

import logging
from datetime import timedelta

import pytest

from api.models import IngestHour, IngestObject, Instance, InstanceEvent, MachineImage
from tests.api.clouds.aws.testbed import ACCOUNT, at, bodies, events, make_account, runs
from tests.factories import make_aws_image, make_instance, make_tags
from tests.generators import cloudtrail as trail
from tests.generators.cloudtrail import launched

INSPECT = "api.tasks.start_image_inspections"


def image(ami_id):
    return MachineImage.objects.get(cloud_image_id=ami_id)


def test_scenario_01_a_launch(testbed, queued):
    ami = testbed.image()
    testbed.ingest(trail.run_instances(launched("i-1", image=ami), at=at(0)))
    instance = Instance.objects.get()
    assert (instance.cloud_instance_id, instance.region) == ("i-1", "us-east-1")
    assert instance.cloud_account == testbed.account
    assert instance.machine_image.cloud_image_id == ami
    assert events() == [("i-1", "power_on", at(0), "m5.large")]
    assert InstanceEvent.objects.get().subnet == "subnet-1"
    assert runs() == [("i-1", at(0), None, "m5.large")]
    assert image(ami).status == "pending"
    assert testbed.asked("DescribeImages", "DescribeInstances") == ["DescribeImages"]
    assert [task.args for task in queued.named(INSPECT)] == [
        ([[testbed.account.account_arn, ami, "us-east-1"]],)
    ]
    assert testbed.left == 0


def test_scenario_02_what_becomes_of_it(testbed):
    ami = testbed.image()
    testbed.ingest(trail.run_instances(launched("i-1", image=ami), at=at(0)))
    before = len(testbed.aws.calls())
    testbed.ingest(
        trail.reboot_instances("i-1", at=at(2)),
        trail.stop_instances("i-1", at=at(3)),
        trail.modify_instance("i-1", "c5.large", at=at(4)),
        trail.start_instances("i-1", at=at(5)),
    )
    assert events()[1:] == [
        ("i-1", "power_off", at(3), None),
        ("i-1", "attribute_change", at(4), "c5.large"),
        ("i-1", "power_on", at(5), None),
    ]
    assert runs() == [
        ("i-1", at(0), at(3), "m5.large"),
        ("i-1", at(5), None, "c5.large"),
    ]
    assert {call["service"] for call in testbed.aws.calls()[before:]} == {"sqs"}


def test_scenario_03_windows(testbed, queued):
    ami = testbed.image("Windows Server")
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert (image(ami).status, image(ami).platform) == ("inspected", "windows")
    assert INSPECT not in queued.names


def test_scenario_04_an_image_that_aws_does_not_return(testbed, queued):
    testbed.ingest(trail.run_instances(launched("i-1", image="ami-0123"), at=at(1)))
    stub = image("ami-0123")
    assert (stub.status, stub.owner_aws_account_id, stub.region) == ("unavailable", None, None)
    assert events() == [("i-1", "power_on", at(1), "m5.large")]
    assert INSPECT not in queued.names


def test_scenario_05_a_start_of_an_unknown_instance(testbed):
    ami = testbed.image()
    known = make_aws_image(cloud_image_id=ami)
    make_tags(account=testbed.account, image=known, rhel=False, described_at=at(1))
    instance_id = testbed.instance(ami, "c5.large")
    testbed.ingest(trail.start_instances(instance_id, at=at(5)))
    assert events() == [(instance_id, "power_on", at(5), "c5.large")]
    assert Instance.objects.get().machine_image.cloud_image_id == ami
    assert testbed.asked("DescribeInstances", "DescribeImages") == ["DescribeInstances"]


def test_scenario_06_the_end_of_an_unknown_instance(testbed):
    testbed.ingest(trail.terminate_instances("i-9", at=at(5)))
    assert Instance.objects.get().machine_image is None
    assert events() == [("i-9", "power_off", at(5), None)]
    assert not MachineImage.objects.exists()


def test_scenario_07_a_new_type_of_a_known_instance(testbed):
    testbed.ingest(trail.run_instances(launched("i-1", image=testbed.image()), at=at(0)))
    before = len(testbed.aws.calls())
    testbed.ingest(trail.modify_instance("i-1", "t2.micro", at=at(1)))
    assert events()[-1] == ("i-1", "attribute_change", at(1), "t2.micro")
    assert {call["service"] for call in testbed.aws.calls()[before:]} == {"sqs"}


def test_scenario_08_another_attribute(testbed):
    testbed.ingest(trail.modify_instance("i-1"))
    assert events() == []
    assert not Instance.objects.exists()


def test_scenario_09_a_failed_call(testbed):
    testbed.ingest(trail.run_instances(launched("i-1"), errorCode="Client.InstanceLimitExceeded"))
    assert events() == []


@pytest.mark.parametrize(
    "key",
    [
        "AWSLogs/some-bogus-id/path/f.gz",
        "AWSLogs/999999999999/x.gz",
        trail.log_key(account="999999999999"),
        "AWSLogs/o-a/1/x.gz",
        trail.log_key(account=ACCOUNT).replace("AWSLogs/", "AWSLogs/o-abcdefghij/"),
        f"AWSLogs/{ACCOUNT}/x/{trail.log_key(account='999999999999')}",
        f"AWSLogs/{ACCOUNT}/Config/us-east-1/2020/01/02/f.json.gz",
        f"{trail.log_key(account=ACCOUNT)}.exe",
    ],
)
def test_scenario_10_keys_of_nobody_we_know(testbed, requests, key):
    """They are neither read nor do they leave anything behind (faults 11 and 17)."""
    testbed.put(trail.stop_instances("i-1"), key=key)
    testbed.announce(key)
    successes, failures = testbed.run()
    assert (len(successes), failures) == (1, [])
    assert "GetObject" not in {request.action for request in requests}
    assert testbed.left == 0
    assert events() == []
    assert not IngestObject.objects.exists()
    assert not IngestHour.objects.exists()


@pytest.mark.parametrize(
    "columns", [{"is_enabled": False}, {"platform_application_is_paused": True}]
)
def test_scenario_11_accounts_that_are_not_metered(testbed, columns):
    type(testbed.account).objects.filter(id=testbed.account.id).update(**columns)
    testbed.ingest(trail.run_instances(launched("i-1")))
    assert not Instance.objects.exists()
    assert not MachineImage.objects.exists()
    assert testbed.asked("DescribeImages") == []
    assert testbed.left == 0


def test_scenario_12_events_before_the_account_was_enabled(testbed):
    type(testbed.account).objects.update(enabled_at=at(0))
    testbed.ingest(
        trail.terminate_instances("i-2", at=at(0) - timedelta(seconds=1)),
        trail.terminate_instances("i-1", at=at(0)),
    )
    assert [event[0] for event in events()] == ["i-1"]


def test_events_before_the_account_was_made_make_instances_known(testbed):
    type(testbed.account).objects.update(created_at=at(3))
    testbed.ingest(trail.run_instances(launched("i-1", image=testbed.image()), at=at(2)))
    assert events() == []
    assert Instance.objects.get().machine_image is not None


def test_scenario_13_a_malformed_file_among_others(testbed):
    for text in (b'{"Records": []}', b"hello world", b'{"Records": []}'):
        folder = f"AWSLogs/{testbed.account.aws_account_id}/CloudTrail/us-east-1/2020/01/02"
        key = f"{folder}/f{hash(text)}.json"
        testbed.announce(testbed.put(key=key, body=text))
    successes, failures = testbed.run()
    assert (len(successes), failures) == (3, [])
    assert testbed.left == 0


def test_scenario_14_the_network_fails(testbed, monkeypatch):
    key = testbed.deliver(trail.terminate_instances("i-1", at=at(1)))
    with monkeypatch.context() as broken:
        broken.setattr("api.clouds.aws.cloudtrail.read.fetch", _broken)
        successes, failures = testbed.run()
    assert successes == []
    assert [key in body for body in bodies(failures)] == [True]
    assert testbed.left == 1
    testbed.announce(key)
    assert len(testbed.run()[0]) == 1
    assert len(events()) == 1


def _broken(notified):
    raise ConnectionError("no route to host")


def test_scenario_15_a_tag_on_a_known_image(testbed):
    known = make_aws_image()
    make_tags(account=testbed.account, image=known)
    testbed.ingest(trail.create_tags(known.cloud_image_id, tags=[trail.OPENSHIFT_TAG]))
    known.refresh_from_db()
    assert (known.openshift_detected, known.rhel_detected_by_tag) == (True, True)
    assert testbed.asked("DescribeImages") == []


def test_scenario_16_of_several_changes_the_latest_counts(testbed):
    known = make_aws_image()
    testbed.ingest(
        trail.delete_tags(known.cloud_image_id, at=at(1)),
        trail.create_tags("ami-other", at=at(1, 2)),
        trail.create_tags(known.cloud_image_id, at=at(1, 5)),
    )
    assert image(known.cloud_image_id).rhel_detected_by_tag


def test_scenario_17_other_tags_and_other_resources(testbed):
    testbed.ingest(trail.create_tags("ami-7", tags=["foo"]), trail.create_tags("i-1"))
    assert not MachineImage.objects.exists()
    assert testbed.asked("DescribeImages") == []


def test_scenario_18_a_tag_on_an_unknown_image(testbed, queued):
    ami = testbed.image()
    testbed.ingest(trail.create_tags(ami))
    assert image(ami).rhel_detected_by_tag
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]


def test_scenario_19_test_messages(testbed):
    testbed.announce(body=trail.s3_test_event("test-cloudigrade-trails"))
    successes, failures = testbed.run()
    assert (len(successes), failures) == (1, [])
    assert testbed.left == 0


def test_scenario_35_an_odd_record_beside_a_good_one(testbed):
    odd = trail.run_instances(launched("i-odd"), requestParameters=None)
    testbed.ingest(odd, trail.run_instances(launched("i-1"), at=at(1)))
    assert events() == [("i-1", "power_on", at(1), "m5.large")]


def test_scenario_36_the_type_is_only_in_the_response(testbed):
    testbed.ingest(
        trail.run_instances(launched("i-1", type="c5.xlarge"), template="lt-1", at=at(1))
    )
    assert events() == [("i-1", "power_on", at(1), "c5.xlarge")]


def test_leading_zeros_in_every_spelling(testbed):
    zeros = make_account("001234567890")
    key = f"AWSLogs/{zeros.aws_account_id}/CloudTrail/us-east-1/2020/01/02/f.json.gz"
    made = [
        trail.terminate_instances(f"i-{place}", identity={"accountId": spelling})
        for place, spelling in enumerate(["001234567890", "1234567890", 1234567890])
    ]
    testbed.ingest(*made, key=key)
    assert {row.cloud_account_id for row in Instance.objects.all()} == {zeros.id}
    assert Instance.objects.count() == 3


def test_the_records_account_counts_not_the_keys(testbed):
    other = make_account("444444444444")
    testbed.ingest(trail.terminate_instances("i-1", account="444444444444"))
    assert Instance.objects.get().cloud_account_id == other.id


def test_several_accounts_in_one_batch(testbed):
    other = make_account("444444444444")
    testbed.deliver(trail.terminate_instances("i-1"))
    testbed.deliver(trail.terminate_instances("i-2", account="444444444444"))
    testbed.deliver(trail.terminate_instances("i-3"), trail.terminate_instances("i-1", at=at(20)))
    assert len(testbed.run()[0]) == 3
    owners = dict(Instance.objects.values_list("cloud_instance_id", "cloud_account_id"))
    assert owners == {"i-1": testbed.account.id, "i-2": other.id, "i-3": testbed.account.id}


def test_an_instance_stays_the_account_s_that_had_it_first(testbed, caplog):
    other = make_account("444444444444")
    make_instance(account=other, cloud_instance_id="i-1")
    with caplog.at_level(logging.ERROR):
        testbed.ingest(trail.stop_instances("i-1"), trail.stop_instances("i-2"))
    assert [event[0] for event in events()] == ["i-2"]
    assert Instance.objects.get(cloud_instance_id="i-1").cloud_account_id == other.id
    assert "another account" in caplog.text


def test_an_instance_keeps_the_region_that_it_had_first(testbed, caplog):
    make_instance(account=testbed.account, cloud_instance_id="i-1", region="eu-west-1")
    with caplog.at_level(logging.WARNING):
        testbed.ingest(trail.stop_instances("i-1"))
    assert Instance.objects.get().region == "eu-west-1"
    assert "another region" in caplog.text


def test_duplicates_change_nothing(testbed):
    record = trail.run_instances(launched("i-1", image=testbed.image()), at=at(1))
    end = trail.terminate_instances("i-1", at=at(2))
    first = testbed.deliver(record, end)
    testbed.deliver(record, end)
    testbed.announce(first)
    testbed.run()
    testbed.announce(first)
    testbed.run()
    assert len(events()) == 2
    assert runs() == [("i-1", at(1), at(2), "m5.large")]


def test_events_may_come_late(testbed):
    ami = testbed.image()
    testbed.ingest(trail.terminate_instances("i-1", at=at(9)))
    testbed.ingest(trail.start_instances("i-1", at=at(7)))
    testbed.ingest(trail.stop_instances("i-1", at=at(6)))
    testbed.ingest(trail.run_instances(launched("i-1", image=ami), at=at(5)))
    assert runs() == [
        ("i-1", at(5), at(6), "m5.large"),
        ("i-1", at(7), at(9), "m5.large"),
    ]
    assert Instance.objects.get().machine_image.cloud_image_id == ami


def test_the_image_may_be_told_by_any_record_of_a_file(testbed):
    ami = testbed.image()
    testbed.ingest(
        trail.stop_instances("i-1", at=at(9)),
        trail.run_instances(launched("i-1", image=ami), at=at(5)),
    )
    assert Instance.objects.get().machine_image.cloud_image_id == ami
    assert "DescribeInstances" not in testbed.asked("DescribeInstances")


def test_a_known_image_is_never_cleared(testbed):
    known = make_aws_image()
    make_instance(account=testbed.account, image=known, cloud_instance_id="i-1")
    testbed.ingest(trail.stop_instances("i-1"))
    assert Instance.objects.get().machine_image == known


def test_only_the_first_start_without_type_gets_the_described_one(testbed):
    instance_id = testbed.instance(testbed.image(), "c5.large")
    testbed.ingest(
        trail.start_instances(instance_id, at=at(9)),
        trail.stop_instances(instance_id, at=at(8)),
        trail.start_instances(instance_id, at=at(7)),
    )
    assert [event[3] for event in events()] == ["c5.large", None, None]


def test_a_type_that_is_known_by_then_is_not_filled_in(testbed):
    instance_id = testbed.instance(testbed.image(), "c5.large")
    testbed.ingest(
        trail.modify_instance(instance_id, "m5.large", at=at(6)),
        trail.start_instances(instance_id, at=at(7)),
    )
    assert [event[3] for event in events()] == ["m5.large", None]


def test_an_unavailable_image_is_described_when_an_instance_uses_it(testbed, queued):
    ami = testbed.image()
    make_aws_image(cloud_image_id=ami, status="unavailable", name=None, platform=None)
    testbed.ingest(trail.create_tags(ami, tags=[trail.OPENSHIFT_TAG]))
    assert image(ami).status == "unavailable"
    assert testbed.asked("DescribeImages") == []
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert image(ami).status == "pending"
    assert image(ami).name.startswith("an image")
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [ami]


def test_known_images_are_not_described(testbed, queued):
    known = make_aws_image()
    make_tags(account=testbed.account, image=known, rhel=False, described_at=at(1))
    testbed.ingest(trail.run_instances(launched("i-1", image=known.cloud_image_id)))
    assert testbed.asked("DescribeImages") == []
    assert INSPECT not in queued.names


def test_marketplace_images_need_no_inspection(testbed, queued):
    ami = testbed.image()
    testbed.aws.client("ec2", account_id=testbed.account.aws_account_id).modify_image_attribute(
        ImageId=ami, ProductCodes=["abc"]
    )
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert (image(ami).status, image(ami).marketplace) == ("inspected", True)
    assert INSPECT not in queued.names


def test_the_image_s_own_tags_count(testbed):
    ami = testbed.image()
    testbed.aws.client("ec2", account_id=testbed.account.aws_account_id).create_tags(
        Resources=[ami], Tags=[{"Key": trail.RHEL_TAG, "Value": ""}]
    )
    testbed.ingest(trail.run_instances(launched("i-1", image=ami)))
    assert image(ami).rhel_detected_by_tag


def test_tag_changes_that_come_late_or_again_change_nothing(testbed):
    known = make_aws_image()
    old = testbed.deliver(trail.create_tags(known.cloud_image_id, at=at(1)))
    testbed.run()
    testbed.ingest(trail.delete_tags(known.cloud_image_id, at=at(2)))
    assert not image(known.cloud_image_id).rhel_detected_by_tag
    testbed.announce(old)
    testbed.run()
    assert not image(known.cloud_image_id).rhel_detected_by_tag


def test_an_image_that_only_a_tag_had_told_about_is_inspected_at_last(testbed, queued):
    known = make_aws_image(status="inspected")
    make_tags(account=testbed.account, image=known)
    testbed.ingest(trail.delete_tags(known.cloud_image_id))
    assert image(known.cloud_image_id).status == "pending"
    assert [task.args[0][0][1] for task in queued.named(INSPECT)] == [known.cloud_image_id]


def test_an_inspected_image_stays_so_without_its_tag(testbed, queued):
    known = make_aws_image(status="inspected", inspection_json="{}")
    make_tags(account=testbed.account, image=known)
    testbed.ingest(trail.delete_tags(known.cloud_image_id))
    assert image(known.cloud_image_id).status == "inspected"
    assert INSPECT not in queued.names


def test_many_instances_are_asked_for_at_once(testbed):
    ids = [f"i-{place:03}" for place in range(250)]
    testbed.ingest(trail.stop_instances(*ids))
    assert testbed.asked("DescribeInstances") == ["DescribeInstances"] * 2
    assert len(events()) == 250


def test_regions_are_asked_each_for_itself(testbed):
    testbed.ingest(
        trail.stop_instances("i-1", region="us-east-1"),
        trail.stop_instances("i-2", region="eu-west-1"),
    )
    described = [call for call in testbed.aws.calls() if call["action"] == "DescribeInstances"]
    assert {call["region"] for call in described} == {"us-east-1", "eu-west-1"}
    assert [call["action"] for call in testbed.aws.calls()].count("AssumeRole") == 1


def test_no_more_messages_than_allowed_and_another_run_follows(testbed, settings, queued):
    settings.AWS_SQS_MAX_YIELD_COUNT = 12
    for place in range(15):
        testbed.announce(body=trail.s3_test_event(str(place)))
    assert len(testbed.run()[0]) == 12
    assert queued.names == ["api.clouds.aws.tasks.analyze_log"]
    queued.clear()
    assert len(testbed.run()[0]) == 3
    assert queued.names == []
