"""Logical volumes (spec 13 §2, §3)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.inspector import lvm
from api.inspector.errors import Notes, UnreadableError
from api.inspector.limits import MIB
from tests.api.inspector.sources import Bytes
from tests.generators.disks import Group, Segment

CONTENT = b"".join(number.to_bytes(4) * 256 for number in range(15 * 1024))
"""15 MiB of which each KiB is different."""


def read_group(group, *, missing=()):
    notes = Notes()
    members = [
        lvm.read_physical_volume(Bytes(data))
        for index, data in enumerate(group.physical_volumes())
        if index not in missing
    ]
    return {one.name: one for one in lvm.logical_volumes(members, notes, "disk")}, notes.texts()


@pytest.mark.parametrize(
    "segments",
    [
        [Segment(15, [(0, 0)])],
        [Segment(10, [(0, 5)]), Segment(2, [(1, 3)]), Segment(3, [(0, 0)])],
        [Segment(16, [(0, 3), (1, 7)], stripe_size=65536)],
        [Segment(4, [(1, 0), (0, 0)], stripe_size=4096), Segment(11, [(0, 8)])],
    ],
)
def test_volumes_are_read_as_they_were_written(segments):
    group = Group([20, 20])
    group.add("root", CONTENT, segments)
    volumes, errors = read_group(group)
    source = volumes["root"].source
    assert source.read(0, len(CONTENT)) == CONTENT
    assert errors == []


@given(offset=st.integers(0, len(CONTENT)), size=st.integers(0, 300_000))
def test_any_part_of_a_striped_volume(offset, size):
    assert STRIPED.read(offset, size) == CONTENT[offset : offset + size]


def _striped():
    group = Group([10, 10, 10])
    group.add("root", CONTENT, [Segment(15, [(0, 1), (1, 2), (2, 3)], 16384)])
    return read_group(group)[0]["root"].source


STRIPED = _striped()


def test_a_missing_physical_volume_hides_only_what_is_on_it():
    group = Group([20, 20])
    group.add("one", CONTENT, [Segment(15, [(0, 0)])])
    group.add("two", CONTENT, [Segment(15, [(1, 0)])])
    volumes, _ = read_group(group, missing={1})
    assert volumes["one"].source.read(0, 4096) == CONTENT[:4096]
    with pytest.raises(UnreadableError, match="physical volume that is missing"):
        volumes["two"].source.read(0, 4096)


@pytest.mark.parametrize("kind", ["thin", "thin-pool", "cache", "raid1", "mirror", "snapshot"])
def test_what_is_not_read_is_reported_by_name(kind):
    group = Group([20])
    group.add("data", b"", [Segment(4, [(0, 0)], kind=kind)])
    volumes, errors = read_group(group)
    assert (volumes["data"].kind, volumes["data"].source) == (kind, None)
    assert errors == []


def test_metadata_in_a_ring():
    """The text may begin near the end of its area, and go on at its start."""
    group = Group([16])
    group.add("root", CONTENT, [Segment(15, [(0, 0)])])
    (data,) = group.physical_volumes()
    text_at, size, area = 4096 + 512, MIB - 4096, 4096
    text = data[text_at : data.index(b"\0", text_at) + 1]
    start = size - 100
    turned = bytearray(data)
    turned[text_at : text_at + len(text)] = bytes(len(text))
    turned[area + start : area + size] = text[:100]
    turned[area + 512 : area + 512 + len(text) - 100] = text[100:]
    turned[area + 40 : area + 48] = start.to_bytes(8, "little")
    member = lvm.read_physical_volume(Bytes(bytes(turned)))
    assert member.metadata.encode() == text[:-1]


def test_the_parser_reads_what_lvm_writes():
    text = """# a comment
    vg { # another
      id = "a\\"b"
      numbers = [1, 2, "x"]
      empty = []
      share = 1.5
      inner { deeper { value = -1 } }
    }
    version = 1"""
    assert lvm.parse(text) == {
        "vg": {
            "id": 'a"b',
            "numbers": [1, 2, "x"],
            "empty": [],
            "share": 1.5,
            "inner": {"deeper": {"value": -1}},
        },
        "version": 1,
    }


@pytest.mark.parametrize(
    "text", ["a {", "a = ", "a = [1", "}", "= 1", "a b", "a { b = { } }", "\x00", "a {" * 100]
)
def test_the_parser_refuses_the_rest(text):
    with pytest.raises(UnreadableError):
        lvm.parse(text)


@given(st.text(alphabet='ab{}[]=,"\\ \n#1.', max_size=200))
def test_the_parser_ends_always(text):
    with contextlib.suppress(UnreadableError):
        lvm.parse(text)


@pytest.mark.parametrize("word", ["stripe_count", "extent_count", "start_extent", "extent_size"])
def test_absurd_numbers_are_noted(word):
    group = Group([20])
    group.add("root", CONTENT, [Segment(15, [(0, 0)])])
    member = lvm.read_physical_volume(Bytes(group.physical_volumes()[0]))
    absurd = member._replace(metadata=member.metadata.replace(f"{word} = ", f"{word} = -1", 1))
    notes = Notes()
    assert lvm.logical_volumes([absurd], notes, "disk") == []
    assert "where a number must be" in notes.texts()[0] or "stripes" in notes.texts()[0]
