"""A snapshot as a source, by the EBS direct APIs of the fake AWS (spec 13 §4)."""

import random

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from api.inspector import ebs
from api.inspector.ebs import IN_FLIGHT, READS, SnapshotSource
from api.inspector.errors import UnreadableError
from api.inspector.isolation import inspect_isolated
from api.inspector.results import make_entry
from deployment.local.aws import AwsControl
from deployment.local.blocks import BLOCK_SIZE, store_disk
from tests.api.inspector import corpus
from tests.api.inspector.looking import LIMITS

GIB = 1024**3
DISK = (
    random.Random(1).randbytes(3 * BLOCK_SIZE)
    + bytes(2 * BLOCK_SIZE)
    + random.Random(2).randbytes(20 * BLOCK_SIZE + 100)
)


@pytest.fixture
def client(aws: AwsControl):
    """A client that itself repeats nothing, so that the tests see what the source does."""
    session = aws.assume("123456789012")
    return session.client(
        "ebs",
        region_name="us-east-1",
        endpoint_url=aws.base_url,
        config=Config(retries={"total_max_attempts": 1}),
    )


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def snapshot(aws, client, pauses):
    """Open a snapshot of some content."""
    opened = []

    def open_snapshot(content=DISK):
        name = store_disk(client, content)
        aws.call("POST", "/_control/reset")
        source = SnapshotSource(client, name, sleep=pauses.append)
        opened.append(source)
        return name, source

    yield open_snapshot
    for source in opened:
        source.__exit__(None, None, None)


def reads(aws):
    return [call["action"] for call in aws.calls() if call["service"] == "ebs"]


def test_it_reads_what_was_written(snapshot):
    _, source = snapshot()
    assert source.size == GIB
    whole = source.read(0, len(DISK))
    assert whole == DISK
    assert source.read(5, 100) == DISK[5:105]
    assert source.read(BLOCK_SIZE - 3, 6) == DISK[BLOCK_SIZE - 3 : BLOCK_SIZE + 3]
    assert source.read(GIB - 10, 100) == bytes(10)
    assert source.read(GIB, 100) == b""


def test_blocks_that_are_not_listed_are_zeros_and_not_asked_for(aws, snapshot):
    _, source = snapshot()
    assert source.read(3 * BLOCK_SIZE, 2 * BLOCK_SIZE) == bytes(2 * BLOCK_SIZE)
    assert source.blocks_read == 0
    assert reads(aws) == ["ListSnapshotBlocks"]


def test_only_what_is_needed_is_read(aws, snapshot):
    _, source = snapshot()
    source.read(0, 512)
    source.read(1024, 512)
    source.read(7 * BLOCK_SIZE, 512)
    assert reads(aws).count("GetSnapshotBlock") == source.blocks_read == 2


def test_runs_are_read_ahead(snapshot):
    _, source = snapshot()
    for number in range(6, 10):
        source.read(number * BLOCK_SIZE, BLOCK_SIZE)
    source.__exit__(None, None, None)
    assert 4 < source.blocks_read <= 4 + IN_FLIGHT


def test_the_list_is_read_page_by_page(client, snapshot, monkeypatch):
    """A page may list 100 blocks at least, which is more than this disk has."""
    name, _ = snapshot()
    lists = []

    class FourAtOnce:
        def list_snapshot_blocks(self, **arguments):
            lists.append(arguments["StartingBlockIndex"])
            answer = client.list_snapshot_blocks(**arguments)
            if len(answer["Blocks"]) > 4:
                answer["NextToken"] = "more"
            return answer | {"Blocks": answer["Blocks"][:4]}

        def get_snapshot_block(self, **arguments):
            return client.get_snapshot_block(**arguments)

    monkeypatch.setattr(ebs, "_PAGES", 2)
    with SnapshotSource(FourAtOnce(), name) as source:
        assert source.read(0, len(DISK)) == DISK
        assert source.read(0, 100) == DISK[:100]
    assert len(lists) > 5


def test_the_cache_is_bounded(snapshot, monkeypatch):
    monkeypatch.setattr(ebs, "_BLOCKS", 4)
    _, source = snapshot()
    source.read(0, len(DISK))
    assert len(source._blocks) == 4


def test_acceptance_12_a_block_with_a_wrong_checksum_is_asked_for_again(aws, snapshot):
    name, source = snapshot()
    aws.corrupt_block(name, 1, times=READS - 1)
    assert source.read(BLOCK_SIZE, BLOCK_SIZE) == DISK[BLOCK_SIZE : 2 * BLOCK_SIZE]
    assert source.blocks_read == READS


def test_acceptance_12_a_checksum_that_stays_wrong_is_an_error(aws, snapshot):
    name, source = snapshot()
    aws.corrupt_block(name, 1)
    with pytest.raises(UnreadableError, match=r"block 1 of snap-[0-9a-f]+ has a wrong checksum"):
        source.read(BLOCK_SIZE, 10)
    assert source.blocks_read == READS
    assert source.read(0, 10) == DISK[:10]


def test_acceptance_12_throttled_three_times_it_succeeds(aws, snapshot, pauses):
    _, source = snapshot()
    aws.refuse("ebs", "GetSnapshotBlock", "ThrottlingException", times=3)
    assert source.read(0, 10) == DISK[:10]
    assert len(pauses) == 3
    assert all(later > 0 for later in pauses)


def test_refusals_pass_through_at_once(aws, snapshot, pauses):
    _, source = snapshot()
    aws.refuse("ebs", "GetSnapshotBlock", "AccessDeniedException")
    with pytest.raises(ClientError, match="AccessDeniedException"):
        source.read(0, 10)
    assert pauses == []


def test_an_outage_passes_through_in_the_end(aws, snapshot, pauses):
    _, source = snapshot()
    aws.refuse("ebs", "GetSnapshotBlock", "ServiceUnavailableException")
    with pytest.raises(ClientError, match="ServiceUnavailable"):
        source.read(0, 10)
    assert len(pauses) == ebs.ATTEMPTS - 1
    aws.call("POST", "/_control/reset")
    # What failed is asked for anew.
    assert source.read(0, 10) == DISK[:10]


def test_simulations_that_tell_the_size_in_kib(client, snapshot):
    name, _ = snapshot()

    class Simulation:
        def list_snapshot_blocks(self, **arguments):
            return client.list_snapshot_blocks(**arguments) | {"BlockSize": 512}

        def get_snapshot_block(self, **arguments):
            return client.get_snapshot_block(**arguments)

    with SnapshotSource(Simulation(), name) as source:
        assert source.read(BLOCK_SIZE, 10) == DISK[BLOCK_SIZE : BLOCK_SIZE + 10]


@pytest.mark.parametrize("name", ["rhel7-gpt-lvm-xfs", "rhel9-gpt-xfs", "fedora38-gpt-ext4"])
def test_a_disk_in_a_snapshot_says_the_same_as_in_a_file(name, snapshot):
    content = corpus.content(name)
    _, source = snapshot(content)
    report = inspect_isolated(source, "/dev/xvdbb", LIMITS)
    entry = make_entry({"/dev/xvdbb": report.partitions}, report.errors)
    assert (entry["inconclusive"], entry["errors"]) == (False, [])
    assert entry["package_count"] > 0
    assert 0 < source.blocks_read <= -(-len(content) // BLOCK_SIZE)


def test_a_block_that_is_wrong_for_good_hides_only_what_is_in_it(aws, snapshot):
    """13 §6: the partition's error; here, of a disk whose second partition is on other blocks."""
    content = corpus.content("rhel7-gpt-xfs")
    name, source = snapshot(content)
    # The first block has the table; the partition of EFI begins at 3 MiB.
    aws.corrupt_block(name, 3 * 2**20 // BLOCK_SIZE)
    report = inspect_isolated(source, "disk", LIMITS)
    assert "wrong checksum" in report.partitions["disk2"]["error"]
    assert report.partitions["disk3"]["facts"]["os_version"] == "7.4"
