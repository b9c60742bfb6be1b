"""What result files may look like, and that a bad one harms no other (spec 05 §6, §8)."""

import json

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st

from api.inspection import reading, results
from api.inspection.results import UnreadableResultError, parse_result
from api.inspection.saving import save_results
from api.models import Instance, MachineImage, StaleUsage
from tests.api.inspection.scene import RHEL_84, attempts, fresh, result
from tests.factories import (
    make_aws_account,
    make_aws_image,
    make_instance,
    make_run,
    utc,
)
from util import postgres

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
entries = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(RHEL_84, json_values),
        "drives": json_values
        | st.dictionaries(
            st.text(),
            st.dictionaries(
                st.text(),
                st.fixed_dictionaries(
                    {},
                    optional={
                        "facts": json_values
                        | st.fixed_dictionaries(
                            {},
                            optional={
                                "rhel_release_files": json_values,
                                "rhel_product_certs": json_values,
                                "rhel_signed_packages": json_values,
                            },
                        ),
                        "error": json_values,
                    },
                ),
                max_size=2,
            ),
            max_size=2,
        ),
    },
)


def parsed(entry, **others):
    (finding,) = parse_result(json.dumps(result("ami-1", entry=entry, **others)).encode()).findings
    return finding


def save(*contents):
    save_results([parse_result(json.dumps(content).encode()) for content in contents])


@given(entries | json_values)
@settings(max_examples=200, deadline=None)
def test_any_entry_is_read_and_kept(entry):
    finding = parsed(entry)
    kept = json.loads(finding.entry)
    if "\\u0000" not in json.dumps(entry):
        assert kept == json.loads(json.dumps(entry).encode("utf-8", "replace"))
    assert "\0" not in finding.entry
    assert len(json.dumps(finding.evidence).encode()) <= 2048


@given(st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=200, deadline=None)
def test_anything_else_is_refused(data):
    with pytest.raises(UnreadableResultError):
        parse_result(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"zzz",
        b"[]",
        b"null",
        b'{"cloud": "aws"}',
        b'{"cloud": "aws", "images": null}',
        b'{"cloud": "aws", "images": ["ami-1"]}',
        b'{"cloud": "azure", "images": {}}',
        b'{"cloud": ["aws"], "images": {}}',
        b'{"images": {}}',
        b'{"cloud": "aws", "images": {"ami-1": {"rhel_version": NaN}}}',
        b'{"cloud": "aws", "images": {"ami-1": {"syspurpose": 1e999}}}',
        b'{"cloud": "aws", "images": ' + b"[" * 100_000,
        b"\xff\xfe\x00",
        b'{"cloud": "aws", "images": {}} and more',
        b'{"n": ' + b"9" * 5000 + b"}",
    ],
)
def test_poison_stays_on_the_queue_and_harms_nothing_else(scene, data):
    image = scene.image("ami-1", status="inspecting")
    scene.deliver(data)
    scene.deliver(result("ami-1"))
    assert scene.persist() == (1, 1)
    assert fresh(image).rhel_version == "8.4"
    assert scene.left == 1


@pytest.mark.parametrize(
    "body",
    [
        "zzz",
        "[]",
        '{"Records": 7}',
        '{"Records": [{}]}',
        '{"Records": [null]}',
        '{"Records": [{"s3": {"bucket": {"name": "no-such"}, "object": {"key": "x"}}}]}',
    ],
)
def test_poison_messages(scene, body):
    image = scene.image("ami-1", status="inspecting")
    scene.send(body)
    scene.deliver(result("ami-1"))
    assert scene.persist() == (1, 1)
    assert (fresh(image).status, scene.left) == ("inspected", 1)


def test_a_message_without_records_is_neither_success_nor_failure(scene, caplog):
    scene.send('{"hello": "world"}')
    assert scene.persist() == (0, 0)
    assert scene.left == 1
    assert "no records" in caplog.text


def test_no_images_are_a_success(scene):
    scene.deliver({"cloud": "aws", "images": {}})
    assert scene.persist() == (1, 0)
    assert scene.left == 0


def test_a_message_goes_only_when_all_of_its_files_are_saved(scene):
    good = scene.deliver(result("ami-1"), announce=False)
    bad = scene.deliver(b"zzz", announce=False)
    image = scene.image("ami-1", status="inspecting")
    scene.announce(good, bad)
    assert scene.persist() == (0, 1)
    assert scene.left == 1
    assert fresh(image).status == "inspecting"
    scene.announce(good, good)
    assert scene.persist() == (1, 0)
    assert fresh(image).status == "inspected"


def test_what_can_not_be_saved_harms_nothing_else(scene, monkeypatch):
    good, bad = scene.image("ami-good"), scene.image("ami-bad")
    finding = results._finding

    def unstorable(ami_id, entry, rest):
        found = finding(ami_id, entry, rest)
        return found._replace(entry="\0") if ami_id == "ami-bad" else found

    monkeypatch.setattr(results, "_finding", unstorable)
    scene.deliver(result("ami-bad"))
    scene.deliver(result("ami-good"))
    assert scene.persist() == (1, 1)
    assert (fresh(good).status, fresh(bad).status) == ("inspected", "pending")


def test_messages_are_given_back_where_the_database_goes_away(scene, monkeypatch):
    """Decision 44: it is no fault of theirs, and they are there as soon as it answers again."""
    image = scene.image("ami-1", status="inspecting")
    scene.deliver(result("ami-1"))

    def fail(*_arguments, **_options):
        raise OperationalError("server closed the connection unexpectedly")

    def go_away(*_arguments, **_options):
        outage.setattr(postgres, "require_writable", fail)
        fail()

    with monkeypatch.context() as outage:
        outage.setattr(reading, "save_results", go_away)
        with pytest.raises(OperationalError):
            scene.persist()
    assert scene.persist() == (1, 0)
    assert fresh(image).status == "inspected"


@pytest.mark.django_db
class TestSaving:
    def test_unknown_keys_are_kept(self):
        image = make_aws_image(cloud_image_id="ami-1", status="inspecting")
        entry = RHEL_84 | {"cpu": {"flags": ["ü", "x\0y", "\ud800"]}}
        save(result("ami-1", entry=entry, producer={"name": "h", "version": "2"}, extra=[1]))
        image = fresh(image)
        stored = json.loads(image.inspection_json)
        assert stored == entry | {"cpu": {"flags": ["ü", "xy", ""]}}
        (attempt,) = attempts(image)
        whole = json.loads(attempt.result)
        assert (whole["extra"], whole["images"]["ami-1"]) == ([1], stored)
        assert (attempt.producer_name, attempt.producer_version) == ("h", "2")
        assert (attempt.outcome, attempt.counts) == ("unasked", False)

    def test_the_same_again_adds_nothing(self):
        image = make_aws_image(cloud_image_id="ami-1")
        for _ in range(3):
            save(result("ami-1"))
        assert len(attempts(image)) == 1
        assert image.facts.count() == 1
        save(result("ami-1", entry={}))
        assert len(attempts(image)) == 2
        assert not fresh(image).is_rhel

    def test_history_names_the_attempt_whose_result_it_is(self):
        image = make_aws_image(cloud_image_id="ami-1")
        for entry in (RHEL_84, {}, RHEL_84):
            save(result("ami-1", entry=entry))
        first, second = (f"attempt {attempt.id}" for attempt in attempts(image))
        refs = image.facts.order_by("id").values_list("ref", flat=True)
        assert list(refs) == [first, second, first]

    def test_the_later_of_two_counts_and_both_are_kept(self):
        image = make_aws_image(cloud_image_id="ami-1")
        save(result("ami-1"), result("ami-1", entry=RHEL_84 | {"rhel_version": "8.5"}))
        assert fresh(image).rhel_version == "8.5"
        assert len(attempts(image)) == 2

    @pytest.mark.parametrize("status", MachineImage.Status.values)
    def test_the_status_before_does_not_matter(self, status):
        image = make_aws_image(cloud_image_id="ami-1", status=status)
        save(result("ami-1"))
        assert fresh(image).status == "inspected"

    def test_older_producers(self):
        image = make_aws_image(cloud_image_id="ami-1")
        entry = {"rhel_found": True, "drive": "/dev/x", "facts": ["a"], "errors": "none"}
        save(result("ami-1", entry=entry))
        assert json.loads(fresh(image).inspection_json) == entry
        assert not fresh(image).is_rhel

    @pytest.mark.parametrize("entry", [None, [], "text", 7, True])
    def test_entries_that_are_no_objects(self, entry):
        image = make_aws_image(cloud_image_id="ami-1", status="inspecting")
        save(result("ami-1", entry=entry))
        assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", False)
        assert json.loads(fresh(image).inspection_json) == entry

    def test_one_partitions_error_hides_no_facts_of_another(self):
        image = make_aws_image(cloud_image_id="ami-1")
        drive = {
            "/dev/xvdbb1": {"facts": {}, "error": {"py/b64": "bW91bnQ="}},
            **RHEL_84["drives"]["/dev/xvdbb"],
        }
        save(result("ami-1", entry=RHEL_84 | {"drives": {"/dev/xvdbb": drive}}))
        assert fresh(image).is_rhel
        assert attempts(image)[0].outcome == "unasked"

    def test_a_disk_that_could_not_be_read_is_inconclusive(self):
        image = make_aws_image(cloud_image_id="ami-1", status="inspecting")
        image.inspection_attempts.create()
        broken = {"/dev/xvdbb": {"/dev/xvdbb1": {"facts": {}, "error": "no mount"}}}
        save(result("ami-1", entry={"drives": broken}))
        assert (fresh(image).status, attempts(image)[0].outcome) == ("inspected", "inconclusive")

    def test_ten_megabytes_are_enough(self, monkeypatch):
        monkeypatch.setattr(results, "MAX_TEXT", 2000)
        image = make_aws_image(cloud_image_id="ami-1")
        image.inspection_attempts.create()
        save(result("ami-1", entry=RHEL_84 | {"drives": {"x" * 5000: {}}, "other": 1}))
        stored = json.loads(fresh(image).inspection_json)
        assert ("drives" in stored, stored["other"]) == (False, 1)
        assert fresh(image).rhel_version == "8.4"
        assert "drives" in attempts(image)[0].error
        save(result("ami-1", entry=RHEL_84 | {"other": "x" * 5000}))
        stored = json.loads(fresh(image).inspection_json)
        assert ("other" in stored, stored["rhel_version"]) == (False, "8.4")

    def test_the_same_facts_withdraw_no_usage(self):
        image = make_aws_image(cloud_image_id="ami-1")
        run = make_run(
            instance=make_instance(image=image), start=utc("2024-05-01"), end=utc("2024-05-02")
        )
        save(result("ami-1"))
        assert StaleUsage.objects.count() == 1
        StaleUsage.objects.all().delete()
        save(result("ami-1", entry=RHEL_84 | {"rhel_version": "8.5"}))
        assert not StaleUsage.objects.exists()
        assert image.facts.count() == 2
        assert run.machine_image_id == image.id

    def test_azure_images_have_no_part_in_it(self):
        save(result("sku-1"))
        assert not MachineImage.objects.exists()

    @pytest.mark.parametrize("files", [1, 10])
    def test_a_hundred_images_cost_less_than_twenty_statements(self, files):
        account = make_aws_account()
        amis = [f"ami-{place}" for place in range(100)]
        for ami in amis:
            image = make_aws_image(cloud_image_id=ami, status="inspecting")
            image.inspection_attempts.create()
            instance = make_instance(account=account, image=image)
            make_run(instance=instance, start=utc("2024-05-01"), end=utc("2024-05-02"))
        size = 100 // files
        contents = [result(*amis[first : first + size]) for first in range(0, 100, size)]
        with CaptureQueriesContext(
            connection,
        ) as statements:
            save(*contents)
        print(f"\nresults of 100 images in {files} files: {len(statements)} statements")
        assert len(statements) < 20
        rows = MachineImage.objects.filter(is_rhel=True, status="inspected")
        assert rows.count() == Instance.objects.count() == 100
        (mark,) = StaleUsage.objects.all()
        assert mark.first_day == utc("2024-05-01").date()
