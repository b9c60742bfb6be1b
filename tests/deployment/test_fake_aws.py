"""What the fake AWS does beyond moto: between accounts, for dry runs, and under control."""

import json
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.exceptions import ClientError

CUSTOMER = "111122223333"
OTHER = "444455556666"
PRIMARY = "123456789012"
RHEL_OWNER = "309956199498"


def code_of(error):
    return error.value.response["Error"]["Code"]


def register(ec2, name, **attributes):
    return ec2.register_image(Name=name, **attributes)["ImageId"]


def make_snapshot(ec2):
    volume = ec2.create_volume(Size=8, AvailabilityZone="us-east-1a")
    return ec2.create_snapshot(VolumeId=volume["VolumeId"], Description="root")["SnapshotId"]


def share_snapshot(ec2, snapshot_id, account_id):
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id,
        Attribute="createVolumePermission",
        OperationType="add",
        UserIds=[account_id],
    )


class TestPermissionCheck:
    """The probes of spec 04 §3.4."""

    SNAPSHOT = "snap-0f423c31dd96866b2"
    IMAGE = "ami-0f94fa2a144c74cf1"

    @pytest.mark.parametrize(
        ("method", "arguments"),
        [
            ("describe_images", {}),
            ("describe_instances", {}),
            ("describe_snapshots", {}),
            ("describe_regions", {}),
            (
                "describe_snapshot_attribute",
                {"SnapshotId": SNAPSHOT, "Attribute": "productCodes"},
            ),
            (
                "modify_snapshot_attribute",
                {
                    "SnapshotId": SNAPSHOT,
                    "Attribute": "createVolumePermission",
                    "OperationType": "add",
                },
            ),
            (
                "copy_image",
                {"Name": "any", "SourceImageId": IMAGE, "SourceRegion": "us-east-1"},
            ),
            ("create_tags", {"Resources": [IMAGE], "Tags": [{"Key": "a", "Value": "b"}]}),
        ],
    )
    def test_dry_runs_of_made_up_ids_would_succeed(self, aws, method, arguments):
        ec2 = aws.client("ec2", account_id=CUSTOMER)
        with pytest.raises(ClientError) as error:
            getattr(ec2, method)(DryRun=True, **arguments)
        assert code_of(error) == "DryRunOperation"

    def test_an_action_can_be_refused_in_one_account(self, aws):
        aws.refuse("ec2", "CopyImage", "UnauthorizedOperation", account_id=CUSTOMER)
        arguments = {"Name": "any", "SourceImageId": self.IMAGE, "SourceRegion": "us-east-1"}
        for account_id, expected in (
            (CUSTOMER, "UnauthorizedOperation"),
            (OTHER, "DryRunOperation"),
        ):
            with pytest.raises(ClientError) as error:
                aws.client("ec2", account_id=account_id).copy_image(DryRun=True, **arguments)
            assert code_of(error) == expected


class TestControl:
    def test_a_fault_ends_after_its_times(self, aws):
        aws.refuse("ec2", "DescribeRegions", "UnauthorizedOperation", times=1)
        ec2 = aws.client("ec2")
        with pytest.raises(ClientError) as error:
            ec2.describe_regions()
        assert code_of(error) == "UnauthorizedOperation"
        assert ec2.describe_regions()["Regions"]

    def test_calls_wait_until_they_are_let_go(self, aws):
        aws.hold("ec2", "DescribeRegions", after=1)
        ec2 = aws.client("ec2")
        assert ec2.describe_regions()["Regions"]
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(ec2.describe_regions)
            while len(aws.calls()) < 2:
                assert not waiting.done()
            assert ec2.describe_vpcs()["Vpcs"]
            assert not waiting.done()
            aws.recover()
            assert waiting.result()["Regions"]

    @pytest.mark.parametrize(
        ("service", "action", "call"),
        [
            ("sts", "AssumeRole", lambda aws: aws.assume("999988887777")),
            ("sqs", "ListQueues", lambda aws: aws.client("sqs").list_queues()),
            (
                "cloudtrail",
                "DescribeTrails",
                lambda aws: aws.client("cloudtrail").describe_trails(),
            ),
        ],
    )
    def test_other_services_can_be_refused_as_well(self, aws, service, action, call):
        aws.refuse(service, action, "AccessDenied")
        with pytest.raises(ClientError) as error:
            call(aws)
        assert code_of(error) == "AccessDenied"

    def test_calls_are_recorded_in_order_with_their_account(self, aws):
        ec2 = aws.client("ec2", account_id=CUSTOMER, region="eu-west-1")
        ec2.describe_regions()
        with pytest.raises(ClientError):
            ec2.describe_images(DryRun=True)
        recorded = [call for call in aws.calls() if call["service"] == "ec2"]
        assert recorded == [
            {
                "service": "ec2",
                "action": action,
                "account": CUSTOMER,
                "region": "eu-west-1",
                "dry_run": dry_run,
            }
            for action, dry_run in (("DescribeRegions", False), ("DescribeImages", True))
        ]


class TestTrails:
    def test_a_trail_may_write_to_the_bucket_of_another_account(self, aws):
        aws.client("s3").create_bucket(Bucket="trails")
        trails = aws.client("cloudtrail", account_id=CUSTOMER)
        trails.create_trail(Name="test-trail", S3BucketName="trails", IsMultiRegionTrail=True)
        (trail,) = trails.describe_trails(trailNameList=["test-trail"])["trailList"]
        assert trail["S3BucketName"] == "trails"

    def test_a_trail_needs_a_bucket_that_exists(self, aws):
        trails = aws.client("cloudtrail", account_id=CUSTOMER)
        with pytest.raises(ClientError) as error:
            trails.create_trail(Name="test-trail", S3BucketName="nowhere")
        assert code_of(error) == "S3BucketDoesNotExistException"


class TestPrimaryAccount:
    def test_new_log_files_are_announced_in_the_queue(self, aws):
        aws.provision_primary_account("test")
        s3, sqs = boto3.client("s3"), boto3.client("sqs")
        for key in ("AWSLogs/1/log one.json.gz", "AWSLogs/1/other.txt", "elsewhere/log.json.gz"):
            s3.put_object(Bucket="test-cloudigrade-trails", Key=key, Body=b"")
        url = sqs.get_queue_url(QueueName="test-cloudigrade-cloudtrail-s3")["QueueUrl"]
        answer = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)
        test_event, notification = (json.loads(message["Body"]) for message in answer["Messages"])
        assert test_event["Event"] == "s3:TestEvent"
        (record,) = notification["Records"]
        assert record["s3"]["bucket"]["name"] == "test-cloudigrade-trails"
        assert record["s3"]["object"]["key"] == "AWSLogs%2F1%2Flog+one.json.gz"

    def test_queues_have_dead_letter_queues(self, aws):
        aws.provision_primary_account("test")
        names = {url.rpartition("/")[2] for url in boto3.client("sqs").list_queues()["QueueUrls"]}
        assert names == {
            "test-cloudigrade-cloudtrail-s3",
            "test-cloudigrade-cloudtrail-s3-dlq",
            "test-cloudigrade-inspections-s3",
            "test-cloudigrade-inspections-s3-dlq",
        }


class TestImages:
    def test_an_account_sees_its_own_tags_on_a_shared_image(self, aws):
        owner, user = (aws.client("ec2", account_id=one) for one in (CUSTOMER, OTHER))
        ami = owner.register_image(Name="shared", RootDeviceName="/dev/xvda")["ImageId"]
        owner.modify_image_attribute(ImageId=ami, LaunchPermission={"Add": [{"Group": "all"}]})
        for ec2, key in ((owner, "theirs"), (user, "mine")):
            ec2.create_tags(Resources=[ami], Tags=[{"Key": key, "Value": ""}])
        for ec2, key in ((owner, "theirs"), (user, "mine")):
            (image,) = ec2.describe_images(ImageIds=[ami])["Images"]
            assert [tag["Key"] for tag in image["Tags"]] == [key]

    def test_a_token_makes_one_copy(self, aws):
        ec2 = aws.client("ec2", account_id=CUSTOMER)
        ami = ec2.register_image(Name="mine", RootDeviceName="/dev/xvda")["ImageId"]
        request = {"Name": "copy", "SourceImageId": ami, "SourceRegion": "us-east-1"}
        tokens = ("a", "a", "b")
        made = [ec2.copy_image(ClientToken=one, **request)["ImageId"] for one in tokens]
        assert (made[0] == made[1], len(set(made))) == (True, 2)

    def test_registration_keeps_what_it_says(self, aws):
        ec2 = aws.client("ec2", account_id=CUSTOMER)
        snapshot_id = make_snapshot(ec2)
        image_id = register(
            ec2,
            "golden",
            Architecture="arm64",
            RootDeviceName="/dev/xvda",
            BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot_id}}],
            TagSpecifications=[
                {
                    "ResourceType": "image",
                    "Tags": [{"Key": "cloudigrade-rhel-present", "Value": ""}],
                }
            ],
        )
        (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
        assert image["OwnerId"] == CUSTOMER
        assert image["Architecture"] == "arm64"
        assert image["Tags"] == [{"Key": "cloudigrade-rhel-present", "Value": ""}]
        assert image["RootDeviceName"] == "/dev/xvda"
        assert image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"] == snapshot_id
        assert "Platform" not in image

    def test_an_image_called_windows_is_one(self, aws):
        ec2 = aws.client("ec2")
        image_id = register(ec2, "Windows_Server")
        (image,) = ec2.describe_images(ImageIds=[image_id])["Images"]
        assert image["Platform"] == "windows"
        instances = ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)["Instances"]
        assert instances[0]["Platform"] == "windows"

    def test_a_private_image_of_another_account_does_not_exist(self, aws):
        image_id = register(aws.client("ec2", account_id=OTHER), "private")
        ec2 = aws.client("ec2", account_id=CUSTOMER)
        with pytest.raises(ClientError) as error:
            ec2.describe_images(ImageIds=[image_id])
        assert code_of(error) == "InvalidAMIID.NotFound"
        filters = [{"Name": "image-id", "Values": [image_id]}]
        assert ec2.describe_images(Filters=filters)["Images"] == []

    @pytest.mark.parametrize("permission", [{"Group": "all"}, {"UserId": CUSTOMER}])
    def test_public_and_shared_images_are_seen_and_run(self, aws, permission):
        owner = aws.client("ec2", account_id=RHEL_OWNER)
        image_id = register(owner, "RHEL-9 Access2", Architecture="x86_64")
        owner.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [permission]})
        ec2 = aws.client("ec2", account_id=CUSTOMER)
        (image,) = ec2.describe_images(
            Filters=[{"Name": "image-id", "Values": [image_id, "ami-00000000000000000"]}]
        )["Images"]
        assert (image["OwnerId"], image["Name"]) == (RHEL_OWNER, "RHEL-9 Access2")
        ec2.run_instances(ImageId=image_id, MinCount=1, MaxCount=1)
        assert ec2.describe_images(Owners=["self"])["Images"] == []

    def test_foreign_images_are_copied_only_with_access_to_their_storage(self, aws):
        owner, customer = (aws.client("ec2", account_id=name) for name in (OTHER, CUSTOMER))
        image_id = register(owner, "shared")
        owner.modify_image_attribute(
            ImageId=image_id, LaunchPermission={"Add": [{"UserId": CUSTOMER}]}
        )
        request = {"Name": "copy", "SourceImageId": image_id, "SourceRegion": "us-east-1"}
        with pytest.raises(ClientError, match="permission to access the storage of this ami"):
            customer.copy_image(**request)
        (image,) = owner.describe_images(ImageIds=[image_id])["Images"]
        share_snapshot(owner, image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], CUSTOMER)
        copy_id = customer.copy_image(**request)["ImageId"]
        (copy,) = customer.describe_images(ImageIds=[copy_id])["Images"]
        assert copy["OwnerId"] == CUSTOMER

    def test_marketplace_images_have_product_codes_and_cannot_be_copied(self, aws):
        owner, customer = (aws.client("ec2", account_id=name) for name in (OTHER, CUSTOMER))
        image_id = register(owner, "for sale")
        owner.modify_image_attribute(
            ImageId=image_id, OperationType="add", Attribute="productCodes", ProductCodes=["abc"]
        )
        owner.modify_image_attribute(ImageId=image_id, LaunchPermission={"Add": [{"Group": "all"}]})
        (image,) = customer.describe_images(ImageIds=[image_id])["Images"]
        assert image["ProductCodes"] == [{"ProductCodeId": "abc", "ProductCodeType": "marketplace"}]
        with pytest.raises(ClientError, match="BillingProduct codes cannot be copied"):
            customer.copy_image(Name="copy", SourceImageId=image_id, SourceRegion="us-east-1")


class TestSnapshots:
    def test_a_snapshot_is_not_seen_before_it_is_shared(self, aws):
        snapshot_id = make_snapshot(aws.client("ec2", account_id=CUSTOMER))
        ec2 = aws.client("ec2")
        with pytest.raises(ClientError) as error:
            ec2.describe_snapshots(SnapshotIds=[snapshot_id])
        assert code_of(error) == "InvalidSnapshot.NotFound"
        with pytest.raises(ClientError) as error:
            ec2.copy_snapshot(SourceSnapshotId=snapshot_id, SourceRegion="us-east-1")
        assert code_of(error) == "InvalidSnapshot.NotFound"

    def test_a_shared_snapshot_is_seen_copied_and_made_a_volume(self, aws):
        customer, primary = aws.client("ec2", account_id=CUSTOMER), aws.client("ec2")
        snapshot_id = make_snapshot(customer)
        share_snapshot(customer, snapshot_id, PRIMARY)
        permissions = customer.describe_snapshot_attribute(
            SnapshotId=snapshot_id, Attribute="createVolumePermission"
        )["CreateVolumePermissions"]
        assert permissions == [{"UserId": PRIMARY}]
        (seen,) = primary.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        assert seen["OwnerId"] == CUSTOMER
        copy_id = primary.copy_snapshot(
            SourceSnapshotId=snapshot_id, SourceRegion="us-east-1", Description="copy"
        )["SnapshotId"]
        (copy,) = primary.describe_snapshots(SnapshotIds=[copy_id])["Snapshots"]
        assert (copy["OwnerId"], copy["VolumeSize"]) == (PRIMARY, 8)
        volume = primary.create_volume(SnapshotId=snapshot_id, AvailabilityZone="us-east-1a")
        assert (volume["SnapshotId"], volume["Size"]) == (snapshot_id, 8)

    def test_a_snapshot_is_copied_from_another_region_of_another_account(self, aws):
        customer = aws.client("ec2", account_id=CUSTOMER, region="eu-west-1")
        volume = customer.create_volume(Size=3, AvailabilityZone="eu-west-1a")
        snapshot_id = customer.create_snapshot(VolumeId=volume["VolumeId"])["SnapshotId"]
        share_snapshot(customer, snapshot_id, PRIMARY)
        primary = aws.client("ec2")
        copy_id = primary.copy_snapshot(SourceSnapshotId=snapshot_id, SourceRegion="eu-west-1")[
            "SnapshotId"
        ]
        (copy,) = primary.describe_snapshots(SnapshotIds=[copy_id])["Snapshots"]
        assert copy["VolumeSize"] == 3
        with pytest.raises(ClientError):
            primary.describe_snapshots(SnapshotIds=[snapshot_id])

    def test_unsharing_hides_it_again(self, aws):
        customer, primary = aws.client("ec2", account_id=CUSTOMER), aws.client("ec2")
        snapshot_id = make_snapshot(customer)
        share_snapshot(customer, snapshot_id, PRIMARY)
        customer.modify_snapshot_attribute(
            SnapshotId=snapshot_id,
            Attribute="createVolumePermission",
            OperationType="remove",
            UserIds=[PRIMARY],
        )
        with pytest.raises(ClientError):
            primary.describe_snapshots(SnapshotIds=[snapshot_id])

    def test_own_and_shared_snapshots_can_be_asked_for_together(self, aws):
        customer, primary = aws.client("ec2", account_id=CUSTOMER), aws.client("ec2")
        shared, own = make_snapshot(customer), make_snapshot(primary)
        share_snapshot(customer, shared, PRIMARY)
        answer = primary.describe_snapshots(SnapshotIds=[own, shared])["Snapshots"]
        assert {snapshot["SnapshotId"] for snapshot in answer} == {own, shared}
