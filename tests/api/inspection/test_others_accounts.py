"""What fails in one customer's account decides nothing for others who use the image.

Issue 14, item 6 and its siblings: facts of a shared image that one customer may change.
"""

import pytest

from api.clouds.aws.inspection import disk_copies
from api.images.users import inspect_after_all
from api.models import InspectionAttempt
from deployment.local.aws import role_arn
from tests.api.inspection import testbed as names
from tests.api.inspection.testbed import REGION, Testbed, attempts, fresh
from tests.factories import make_aws_account, make_instance, make_tags

pytestmark = pytest.mark.django_db

SOLD = [{"ProductCodeId": "abc", "ProductCodeType": "marketplace"}]


@pytest.fixture
def other(testbed: Testbed):
    """Another customer's account."""
    return make_aws_account(aws_account_id=names.OTHER, account_arn=role_arn(names.OTHER))


def begun_by(testbed: Testbed):
    """Return the ARNs with which inspections were queued."""
    return [start[0] for task in testbed.queued.named(names.START) for start in task.args[0]]


class TestErrors:
    def test_an_image_that_another_account_could_not_load_is_tried_by_its_owner(
        self, testbed, other
    ):
        """The other customer may launch it no more; its owner may."""
        ami, _ = testbed.register(names.OTHER)
        image = testbed.image(ami, owner_aws_account_id=names.OTHER)
        testbed.start(image)
        testbed.work()
        assert (fresh(image).status, len(attempts(image))) == ("error", 1)
        testbed.run(names.RESTART)
        assert (fresh(image).status, testbed.queued) == ("error", [])
        make_instance(account=other, image=image)
        testbed.run(names.RESTART)
        assert (fresh(image).status, begun_by(testbed)) == ("pending", [other.account_arn])
        testbed.work()
        assert fresh(image).status == "inspecting"

    def test_it_ends_for_good_when_everybody_was_tried(self, testbed, other):
        image = testbed.image("ami-0123456789abcdef0")
        make_instance(account=other, image=image)
        testbed.start(image)
        for _ in range(3):
            testbed.work()
            testbed.run(names.RESTART)
        assert fresh(image).status == "error"
        arns = [attempt.arn for attempt in attempts(image)]
        assert sorted(arns) == sorted([testbed.arn, other.account_arn])

    def test_what_customers_accounts_did_not_try_stays_as_it_is(self, testbed):
        image = testbed.image("ami-1", status="error")
        inspect_after_all([image.id])
        assert (fresh(image).status, testbed.queued) == ("error", [])

    @pytest.mark.parametrize(
        "columns",
        [
            {"is_encrypted": True},
            {"status": "inspected", "inspection_json": "{}"},
            {"status": "inspected", "marketplace": True, "product_codes": SOLD},
        ],
    )
    def test_what_is_so_for_everybody_stays_as_it_is(self, testbed, other, columns):
        image = testbed.image("ami-1", **({"status": "error"} | columns))
        InspectionAttempt.objects.create(machine_image=image, arn=testbed.arn)
        make_instance(account=other, image=image)
        inspect_after_all([image.id])
        assert testbed.queued == []

    def test_attempts_of_others_do_not_count_against_the_limit(self, testbed, other):
        image = testbed.image("ami-1")
        for _ in range(7):
            InspectionAttempt.objects.create(machine_image=image, arn=other.account_arn)
        testbed.start(image)
        assert fresh(image).status == "preparing"

    def test_a_tag_holds_after_an_error_too(self, testbed, other):
        image = testbed.image("ami-1", status="error")
        InspectionAttempt.objects.create(machine_image=image, arn=testbed.arn)
        make_instance(account=other, image=image)
        make_tags(account=other, image=image)
        inspect_after_all([image.id])
        assert testbed.queued == []


class TestTurns:
    def test_a_restart_asks_whom_it_asked_least(self, testbed, other, time_machine):
        time_machine.move_to("2034-05-01T12:00:00Z")
        image = testbed.image("ami-1")
        make_instance(account=other, image=image)
        arns = []
        for day in range(2, 6):
            time_machine.move_to(f"2034-05-0{day}T12:00:00Z")
            testbed.run(names.RESTART)
            arns.append(attempts(image)[-1].arn)
        assert arns == [testbed.arn, other.account_arn] * 2

    def test_the_owner_comes_first(self, testbed, other, time_machine):
        time_machine.move_to("2034-05-01T12:00:00Z")
        image = testbed.image("ami-1", owner_aws_account_id=names.OTHER)
        make_instance(account=other, image=image)
        time_machine.move_to("2034-05-02T12:00:00Z")
        testbed.run(names.RESTART)
        assert [attempt.arn for attempt in attempts(image)] == [other.account_arn]


class TestCopies:
    def test_an_image_that_only_looks_like_our_copy_is_not_taken_for_it(self, testbed):
        """Or a customer could say what is in an image that others use as well."""
        ami, _ = testbed.foreign(share_disk=True)
        image = testbed.image(ami, owner_aws_account_id=names.OTHER)
        forged, _ = testbed.register()
        testbed.customers.create_tags(
            Resources=[forged], Tags=[{"Key": disk_copies.ORIGINAL_ID_TAG, "Value": ami}]
        )
        described = testbed.customers.register_image(
            Name="forged",
            Description=f"cloudigrade reference copy of {ami}",
            RootDeviceName="/dev/xvda",
        )["ImageId"]
        testbed.start(image)
        testbed.queued.clear()
        testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
        (attempt,) = attempts(image)
        assert attempt.copied_ami_id not in {"", forged, described}

    def test_our_copy_is_used_again_by_the_next_attempt(self, testbed):
        ami, _ = testbed.foreign(share_disk=True)
        image = testbed.image(ami, owner_aws_account_id=names.OTHER)
        for number in (1, 2):
            InspectionAttempt.objects.filter(machine_image=image).update(
                finished_at="2024-01-01T00:00:00Z"
            )
            InspectionAttempt.objects.create(machine_image=image, arn=testbed.arn, region=REGION)
            testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
            assert len(attempts(image)) == number
        assert len({attempt.copied_ami_id for attempt in attempts(image)}) == 1

    def test_a_copy_of_another_account_is_not_looked_for(self, testbed, other):
        ami, _ = testbed.foreign(share_disk=True)
        image = testbed.image(ami, owner_aws_account_id=names.OTHER)
        InspectionAttempt.objects.create(
            machine_image=image,
            arn=other.account_arn,
            region=REGION,
            copied_ami_id=testbed.register()[0],
            finished_at="2024-01-01T00:00:00Z",
        )
        InspectionAttempt.objects.create(machine_image=image, arn=testbed.arn, region=REGION)
        testbed.run(names.COPY_IMAGE, testbed.arn, ami, REGION)
        first, second = attempts(image)
        assert second.copied_ami_id not in {"", first.copied_ami_id}

    def test_an_account_that_encrypts_its_copies_says_nothing_of_the_image(
        self, testbed, monkeypatch
    ):
        ami, _ = testbed.foreign(share_disk=True)
        image = testbed.image(ami, owner_aws_account_id=names.OTHER)
        testbed.start(image)
        load = disk_copies.load_snapshot

        def encrypted(ec2, snapshot_id):
            snapshot = load(ec2, snapshot_id)
            is_copy = snapshot and snapshot["OwnerId"] == names.CUSTOMER
            return {**snapshot, "Encrypted": True} if is_copy else snapshot

        monkeypatch.setattr(disk_copies, "load_snapshot", encrypted)
        testbed.work()
        assert (fresh(image).status, fresh(image).is_encrypted) == ("error", False)


def test_what_others_may_not_copy_is_inspected_for_its_owner(testbed, other):
    """AWS refuses to copy a public image in the words for one that is sold."""
    ami, _ = testbed.foreign()
    image = testbed.image(ami, owner_aws_account_id=names.OTHER)
    testbed.start(image)
    testbed.work()
    assert (fresh(image).status, fresh(image).is_marketplace) == ("inspected", True)
    make_instance(account=other, image=image)
    testbed.run(names.RESTART)
    assert begun_by(testbed) == [other.account_arn]
    assert fresh(image).is_marketplace is False
    testbed.work()
    assert fresh(image).status == "inspecting"
