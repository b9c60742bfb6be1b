"""What result files may look like, and that a bad one harms no other (spec 05 §6, §8)."""

import json

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from api.clouds.aws import notified_files
from api.inspection.reinspection import reinspect_image
from api.inspection.results import parse, read
from api.inspection.results.parse import MAX_TEXT, UnreadableResultError, parse_result
from api.inspection.results.save import save_results
from api.models import Instance, MachineImage, StaleUsage
from tests.api.inspection.testbed import RHEL_84, attempts, fresh, result
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


def begun(ami_id="ami-1", **columns):
    """Make an image whose inspection was begun."""
    image = make_aws_image(cloud_image_id=ami_id, **({"status": "inspecting"} | columns))
    image.inspection_attempts.create()
    return image


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
def test_poison_stays_on_the_queue_and_harms_nothing_else(testbed, data):
    image = testbed.begun("ami-1")
    testbed.deliver(data)
    testbed.deliver(result("ami-1"))
    assert testbed.persist() == (1, 1)
    assert fresh(image).rhel_version == "8.4"
    assert testbed.left == 1


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
def test_poison_messages(testbed, body):
    image = testbed.begun("ami-1")
    testbed.send(body)
    testbed.deliver(result("ami-1"))
    assert testbed.persist() == (1, 1)
    assert (fresh(image).status, testbed.left) == ("inspected", 1)


def test_a_message_without_records_is_neither_success_nor_failure(testbed, caplog):
    testbed.send('{"hello": "world"}')
    assert testbed.persist() == (0, 0)
    assert testbed.left == 1
    assert "no records" in caplog.text


def test_no_images_are_a_success(testbed):
    testbed.deliver({"cloud": "aws", "images": {}})
    assert testbed.persist() == (1, 0)
    assert testbed.left == 0


def test_a_message_goes_only_when_all_of_its_files_are_saved(testbed):
    good = testbed.deliver(result("ami-1"), announce=False)
    bad = testbed.deliver(b"zzz", announce=False)
    image = testbed.begun("ami-1")
    testbed.announce(good, bad)
    assert testbed.persist() == (0, 1)
    assert testbed.left == 1
    assert fresh(image).status == "inspected"
    testbed.announce(good, good)
    assert testbed.persist() == (1, 0)
    assert len(attempts(image)) == 1


def test_what_can_not_be_saved_harms_nothing_else(testbed, monkeypatch):
    good, bad = testbed.begun("ami-good"), testbed.begun("ami-bad")
    finding = parse._finding

    def unstorable(ami_id, *others):
        found = finding(ami_id, *others)
        return found._replace(entry="\0") if ami_id == "ami-bad" else found

    monkeypatch.setattr(parse, "_finding", unstorable)
    testbed.deliver(result("ami-bad"))
    testbed.deliver(result("ami-good"))
    assert testbed.persist() == (1, 1)
    assert (fresh(good).status, fresh(bad).status) == ("inspected", "inspecting")


def test_messages_are_given_back_where_the_database_goes_away(testbed, monkeypatch):
    """Decision 44: it is no fault of theirs, and they are there as soon as it answers again."""
    image = testbed.begun("ami-1")
    testbed.deliver(result("ami-1"))

    def fail(*_arguments, **_options):
        raise OperationalError("server closed the connection unexpectedly")

    def go_away(*_arguments, **_options):
        outage.setattr(postgres, "require_writable", fail)
        fail()

    with monkeypatch.context() as outage:
        outage.setattr(read, "save_results", go_away)
        with pytest.raises(OperationalError):
            testbed.persist()
    assert testbed.persist() == (1, 0)
    assert fresh(image).status == "inspected"


@pytest.mark.django_db
class TestSaving:
    def test_unknown_keys_are_kept(self):
        image = begun()
        entry = RHEL_84 | {"cpu": {"flags": ["ü", "x\0y", "\ud800"]}}
        save(result("ami-1", entry=entry, producer={"name": "h", "version": "2"}, extra=[1]))
        image = fresh(image)
        stored = json.loads(image.inspection_json)
        assert stored == entry | {"cpu": {"flags": ["ü", "xy", ""]}}
        (attempt,) = attempts(image)
        whole = json.loads(attempt.result)
        assert (whole["extra"], whole["images"]["ami-1"]) == ([1], stored)
        assert (attempt.producer_name, attempt.producer_version) == ("h", "2")
        assert (attempt.outcome, attempt.counts) == ("inspected", True)

    def test_the_same_again_adds_nothing(self):
        image = begun()
        for _ in range(3):
            save(result("ami-1"))
        assert len(attempts(image)) == 1
        assert image.facts.count() == 1
        save(result("ami-1", entry={}))
        assert len(attempts(image)) == 2
        assert not fresh(image).is_rhel

    def test_history_names_the_attempt_whose_result_it_is(self):
        image = begun()
        for entry in (RHEL_84, {}):
            save(result("ami-1", entry=entry))
        refs = image.facts.order_by("id").values_list("ref", flat=True)
        assert list(refs) == [f"attempt {attempt.id}" for attempt in attempts(image)]

    def test_what_is_delivered_again_replaces_nothing_newer(self):
        image = begun()
        for entry in ({}, RHEL_84, {}):
            save(result("ami-1", entry=entry))
        assert fresh(image).is_rhel
        assert len(attempts(image)) == 2

    def test_the_same_result_of_another_inspection_ends_it(self):
        image = begun()
        save(result("ami-1"))
        reinspect_image(image_id=image.id)
        save(result("ami-1"))
        assert fresh(image).status == "pending"
        image.inspection_attempts.create()
        save(result("ami-1"))
        assert fresh(image).status == "inspected"
        assert [attempt.outcome for attempt in attempts(image)] == ["inspected"] * 2

    def test_the_later_of_two_counts_and_both_are_kept(self):
        image = begun()
        save(result("ami-1"), result("ami-1", entry=RHEL_84 | {"rhel_version": "8.5"}))
        assert fresh(image).rhel_version == "8.5"
        assert len(attempts(image)) == 2

    @pytest.mark.parametrize("status", MachineImage.Status.values)
    def test_the_status_before_does_not_matter(self, status):
        image = begun(status=status)
        save(result("ami-1"))
        assert fresh(image).status == "inspected"

    def test_older_producers(self):
        image = begun()
        entry = {"rhel_found": True, "drive": "/dev/x", "facts": ["a"], "errors": "none"}
        save(result("ami-1", entry=entry))
        assert json.loads(fresh(image).inspection_json) == entry
        assert not fresh(image).is_rhel

    @pytest.mark.parametrize("entry", [None, [], "text", 7, True])
    def test_entries_that_are_no_objects(self, entry):
        image = begun()
        save(result("ami-1", entry=entry))
        assert (fresh(image).status, fresh(image).is_rhel) == ("inspected", False)
        assert json.loads(fresh(image).inspection_json) == entry

    def test_one_partitions_error_hides_no_facts_of_another(self):
        image = begun()
        drive = {
            "/dev/xvdbb1": {"facts": {}, "error": {"py/b64": "bW91bnQ="}},
            **RHEL_84["drives"]["/dev/xvdbb"],
        }
        save(result("ami-1", entry=RHEL_84 | {"drives": {"/dev/xvdbb": drive}}))
        assert fresh(image).is_rhel
        assert attempts(image)[0].outcome == "inspected"

    def test_a_disk_that_could_not_be_read_is_inconclusive(self):
        image = begun()
        broken = {"/dev/xvdbb": {"/dev/xvdbb1": {"facts": {}, "error": "no mount"}}}
        save(result("ami-1", entry={"drives": broken}))
        assert (fresh(image).status, attempts(image)[0].outcome) == ("inspected", "inconclusive")

    def test_a_megabyte_is_stored_at_most(self):
        image = begun()
        long = "x" * (MAX_TEXT + 1)
        save(result("ami-1", entry=RHEL_84 | {"drives": {long: {}}, "other": 1}))
        stored = json.loads(fresh(image).inspection_json)
        assert ("drives" in stored, stored["other"]) == (False, 1)
        assert fresh(image).rhel_version == "8.4"
        assert "drives" in attempts(image)[0].error
        save(result("ami-1", entry=RHEL_84 | {"other": long}))
        stored = json.loads(fresh(image).inspection_json)
        assert ("other" in stored, stored["rhel_version"]) == (False, "8.4")

    @pytest.mark.parametrize(
        "entry",
        [
            RHEL_84 | {"drives": "x" * (MAX_TEXT - 100_000)},
            RHEL_84 | {"drives": ["é"] * (MAX_TEXT // 4)},
            RHEL_84 | {f"key {number}": "y" * 1000 for number in range(3000)},
            RHEL_84 | {"syspurpose": {"role": "z" * 2 * MAX_TEXT}},
            RHEL_84 | {"floats": [1e15] * (MAX_TEXT // 8)},
            ["x" * 2 * MAX_TEXT],
        ],
        ids=range(6),
    )
    def test_whatever_is_large(self, entry):
        image = begun()
        save(result("ami-1", entry=entry, errors=["e" * 2 * MAX_TEXT], extra="r" * 40_000))
        (attempt,) = attempts(image)
        assert len(fresh(image).inspection_json.encode()) <= MAX_TEXT
        assert len(attempt.result.encode()) <= MAX_TEXT
        assert fresh(image).is_rhel == isinstance(entry, dict)

    def test_the_same_facts_withdraw_no_usage(self):
        image = begun()
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
            image = begun(ami)
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

    def test_what_nobody_inspects_is_not_believed(self, caplog):
        """README decision 38; fault 16."""
        image = make_aws_image(cloud_image_id="ami-1", status="pending")
        asked = begun("ami-2")
        before = MachineImage.objects.filter(id=image.id).values().get()
        save(result("ami-1", "ami-2"))
        assert MachineImage.objects.filter(id=image.id).values().get() == before
        assert (attempts(image), image.facts.count()) == ([], 0)
        assert "a result for image ami-1, which nobody inspects" in caplog.text
        assert fresh(asked).is_rhel

    def test_results_that_nobody_asked_for_earlier_begin_nothing(self):
        """The previous version kept them as attempts."""
        image = make_aws_image(cloud_image_id="ami-1", status="pending")
        image.inspection_attempts.create(outcome="unasked", counts=False, result="{}")
        save(result("ami-1"))
        assert not fresh(image).is_rhel


def rejected(outcome):
    return REGISTRY.get_sample_value("cloudigrade_inspection_results_total", {"outcome": outcome})


def test_the_message_of_an_unsolicited_result_is_done_with(testbed):
    """README decision 38."""
    image = testbed.image("ami-1")
    counted = rejected("unsolicited") or 0
    testbed.deliver(result("ami-1", "ami-unknown"))
    assert testbed.persist() == (1, 0)
    assert (testbed.left, fresh(image).status, attempts(image)) == (0, "pending", [])
    assert rejected("unsolicited") == counted + 1


DEEP = b'{"a": ' * 20_000 + b"1" + b"}" * 20_000
HOSTILE = {
    "deep beside what counts": b'{"rhel_release_files_found": true, "drives": ' + DEEP + b"}",
    "deep syspurpose": b'{"syspurpose": ' + b"[" * 700 + b"]" * 700 + b"}",
    "a number with many digits": b'{"rhel_version": ' + b"9" * 5000 + b"}",
    "no number": b'{"syspurpose": NaN}',
    "broken text": b'{"rhel_version": "\xff\xfe"}',
    "a lone surrogate": b'{"rhel_version": "\\ud800"}',
    "NUL": b'{"rhel_version": "\\u0000", "syspurpose": {"role": "\\u0000"}}',
    "truths that are none": b'{"rhel_release_files_found": "true", "rhel_enabled_repos_found": 1}',
    "wrong types": b'{"drives": [[]], "errors": {}, "rhel_version": [], "syspurpose": 7}',
    "the same key twice": b'{"rhel_product_certs_found": true, "rhel_product_certs_found": 0}',
}


@pytest.mark.parametrize("entry", HOSTILE.values(), ids=HOSTILE)
def test_hostile_entries_harm_nothing(testbed, entry):
    """Neither the images beside it, nor other files, nor ones that it has no business with."""
    hostile, beside, other = testbed.begun("ami-1"), testbed.begun("ami-2"), testbed.begun("ami-3")
    good = json.dumps(RHEL_84).encode()
    testbed.deliver(
        b'{"cloud": "aws", "images": {"ami-1": ' + entry + b', "ami-2": ' + good + b"}}"
    )
    testbed.deliver(result("ami-3"))
    assert sum(testbed.persist()) == 2
    assert fresh(other).rhel_version == "8.4"
    assert fresh(hostile).is_rhel is False
    # What cuts its file to pieces keeps those beside it waiting, but never changes them wrongly.
    assert fresh(beside).rhel_version in ("8.4", None)


@pytest.mark.parametrize(
    "ami_id", ["ami-1\0", "AMI-1", " ami-1", "ami-1\n", "\ud800", "x" * 100_000, "%s", ""]
)
def test_odd_ids_are_nobodys(testbed, ami_id):
    image = testbed.begun("ami-1")
    testbed.deliver(result(ami_id))
    assert sum(testbed.persist()) == 1
    assert fresh(image).status == "inspecting"


def test_files_without_end_are_refused(testbed):
    image = testbed.begun("ami-1")
    many = {f"ami-{number}": {} for number in range(parse.MAX_IMAGES + 1)}
    testbed.deliver({"cloud": "aws", "images": many})
    testbed.deliver(b'{"cloud": "aws", "images": {}}' + b" " * notified_files.MAX_OBJECT)
    assert testbed.persist() == (0, 2)
    assert fresh(image).status == "inspecting"
