"""Partition tables (spec 13 §2)."""

import struct

import pytest

from api.inspector.drive import find_volumes, partition_path
from api.inspector.errors import Notes
from api.inspector.limits import MIB
from api.inspector.partitions import read_table
from tests.api.inspector.sources import Bytes
from tests.generators import disks

VOLUMES = [b"first" + bytes(MIB - 5), b"second" + bytes(2 * MIB - 6)]


def table(data):
    notes = Notes()
    return read_table(Bytes(data), notes, "disk"), notes.texts()


@pytest.mark.parametrize("sector", [512, 4096])
def test_gpt(sector):
    found, errors = table(disks.with_gpt(VOLUMES, sector=sector))
    assert [tuple(one) for one in found] == [(1, MIB, MIB), (2, 3 * MIB, 2 * MIB)]
    assert errors == []


@pytest.mark.parametrize("sector", [512, 4096])
@pytest.mark.parametrize("offset", [0, 16, 24, 80, 92 - 4])
def test_a_damaged_gpt_has_a_backup(sector, offset):
    disk = bytearray(disks.with_gpt(VOLUMES, sector=sector))
    disk[sector + offset] ^= 0xFF
    found, errors = table(bytes(disk))
    assert len(found) == 2
    assert "the backup is used" in errors[0]


def test_a_gpt_whose_both_copies_are_damaged_is_an_error():
    disk = bytearray(disks.with_gpt(VOLUMES))
    disk[512 + 16] ^= 0xFF
    disk[-512 + 16] ^= 0xFF
    found, errors = table(bytes(disk))
    # What is left is the protective entry of the MBR, of the whole disk.
    assert [one.number for one in found] == [1]
    assert errors == ["disk: GPT: the header has a wrong checksum"]


def test_absurd_sizes_of_a_gpt_are_refused():
    disk = bytearray(disks.with_gpt(VOLUMES))
    struct.pack_into("<I", disk, 512 + 80, 2**31)
    disk[-512:] = bytes(512)
    assert table(bytes(disk))[1] == ["disk: GPT: the header has a wrong checksum"]


@pytest.mark.parametrize("sector", [512, 4096])
def test_mbr(sector):
    swap = bytes(4086) + b"SWAPSPACE2" + bytes(MIB - 4096)
    found, errors = table(disks.with_mbr([swap, swap, swap], primary=1, sector=sector))
    assert [one.number for one in found] == [1, 5, 6]
    assert [one.offset for one in found] == [MIB, 3 * MIB, 5 * MIB]
    assert errors == []


def extended():
    """Return a disk with three logical partitions, and where their tables lie."""
    disk = bytearray(disks.with_mbr(VOLUMES * 2, primary=1))
    tables = [at for at in range(MIB, len(disk), 512) if disk[at + 510 : at + 512] == b"\x55\xaa"]
    assert len(tables) == 3
    return disk, tables


@pytest.mark.parametrize("target", [0, 1])
def test_an_extended_partition_in_a_circle(target):
    disk, tables = extended()
    # The last link leads back to an earlier one.
    back = (tables[target] - tables[0]) // 512
    struct.pack_into("<BBHBBHII", disk, tables[2] + 462, 0, 0, 0, 5, 0, 0, back, 1)
    found, errors = table(bytes(disk))
    assert [one.number for one in found] == [1, 5, 6, 7]
    assert errors == ([] if not back else ["disk: extended partition: its chain has no end"])


def test_a_broken_link_of_an_extended_partition_hides_none_before_it():
    disk, tables = extended()
    disk[tables[1] + 510] = 0
    found, errors = table(bytes(disk))
    assert [one.number for one in found] == [1, 5]
    assert "no table at sector" in errors[0]


@pytest.mark.parametrize(
    "boot", [b"\xeb\x58\x90mkfs.fat" + bytes(43) + b"FAT16   ", b"\xeb\x52\x90NTFS    "]
)
def test_the_boot_sector_of_a_file_system_is_no_table(boot):
    disk = boot.ljust(510, b"\x80") + b"\x55\xaa" + bytes(MIB)
    assert table(disk) == ([], [])


def test_no_table():
    assert table(bytes(MIB)) == ([], [])
    assert table(b"") == ([], [])
    assert [one.path for one in find_volumes(Bytes(bytes(MIB)), "disk", Notes())] == ["disk"]


def test_paths():
    """05 §9, 13 §6: the kernel's names for devices, the number at the end for files."""
    assert partition_path("/dev/xvdbb", 2) == "/dev/xvdbb2"
    assert partition_path("/dev/nvme1n1", 2) == "/dev/nvme1n1p2"
    assert partition_path("/images/disk.img", 2) == "/images/disk.img2"
    assert partition_path("disk7", 2) == "disk72"
