"""The databases of rpm (spec 13 §2, §6)."""

import sqlite3
import struct
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.inspector import openpgp
from api.inspector.directory import DirectoryFileSystem
from api.inspector.errors import UnreadableError
from api.inspector.packages import RED_HAT_KEYS, read_packages
from api.inspector.rpmheader import read_header
from tests.api.inspector.looking import tree_of
from tests.generators import rpmdb
from tests.generators.rpmdb import CENTOS, RED_HAT, RED_HAT_AUXILIARY, Package, header

SIGNED = [
    *(
        Package(f"tag-{tag}-form-{form}", RED_HAT, tag, form)
        for tag in (rpmdb.RSA, rpmdb.DSA, rpmdb.PGP, rpmdb.GPG, rpmdb.OPENPGP)
        for form in (3, 4, 6)
    ),
    Package("auxiliary", RED_HAT_AUXILIARY),
]
OTHERS = [Package("foreign", CENTOS), Package("unsigned"), Package("gpg-pubkey", RED_HAT)]
HEADERS = [header(one) for one in (*SIGNED, *OTHERS)]


def write(root, name, headers, folder="var/lib/rpm"):
    path = root / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "rpmdb.sqlite":
        rpmdb.write_sqlite(path, headers)
    else:
        make = {"Packages": rpmdb.berkeley, "Packages.db": rpmdb.ndb}[name]
        path.write_bytes(make(headers))
    return path


def read(root):
    return read_packages(tree_of(root))


@pytest.mark.parametrize("name", ["rpmdb.sqlite", "Packages", "Packages.db"])
@pytest.mark.parametrize("folder", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
def test_each_database_in_each_folder(name, folder, tmp_path):
    write(tmp_path, name, HEADERS, folder)
    found = read(tmp_path)
    assert (found.signed, found.count, found.errors) == (len(SIGNED), len(SIGNED) + 2, [])
    assert found.keys[CENTOS] == 1
    assert found.paths == [f"/{folder}/{name}"]


@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("order", ["<", ">"])
def test_berkeley_in_both_byte_orders_and_all_sizes(page_size, order, tmp_path):
    path = tmp_path / "var/lib/rpm/Packages"
    path.parent.mkdir(parents=True)
    headers = [header(one) for one in rpmdb.packages(30, RED_HAT, size=5000)]
    # One page has room for few items if it is small.
    path.write_bytes(rpmdb.berkeley(headers[: page_size // 100], page_size=page_size, order=order))
    found = read(tmp_path)
    assert (found.signed, found.errors) == (min(30, page_size // 100), [])


def test_a_scattered_database_is_read_once(tmp_path, monkeypatch):
    """Headers whose pages lie anywhere cost no more reads of the disk than others."""
    headers = [header(one) for one in rpmdb.packages(300, RED_HAT, size=60_000)]
    path = write(tmp_path, "Packages", headers)
    path.write_bytes(rpmdb.scattered(path.read_bytes()))
    read_bytes = []
    original = DirectoryFileSystem.read

    def reading(self, parts, offset, size):
        data = original(self, parts, offset, size)
        read_bytes.append(len(data))
        return data

    monkeypatch.setattr(DirectoryFileSystem, "read", reading)
    found = read(tmp_path)
    assert (found.signed, found.errors) == (300, [])
    assert sum(read_bytes) == path.stat().st_size


def test_a_damaged_page_hides_only_what_is_on_it(tmp_path):
    headers = [header(one) for one in rpmdb.packages(20, RED_HAT, size=9000)]
    path = write(tmp_path, "Packages", headers)
    data = bytearray(path.read_bytes())
    # The second page is the first of the first package's header.
    data[2 * 4096 : 3 * 4096] = bytes(4096)
    path.write_bytes(data)
    found = read(tmp_path)
    assert found.signed == 19
    assert "Packages: record on page 1" in found.errors[0]


def test_a_folder_that_two_paths_name_is_read_once(tmp_path):
    write(tmp_path, "rpmdb.sqlite", HEADERS, "usr/lib/sysimage/rpm")
    (tmp_path / "var/lib").mkdir(parents=True)
    (tmp_path / "var/lib/rpm").symlink_to("../../usr/lib/sysimage/rpm")
    assert read(tmp_path).count == len(SIGNED) + 2


def test_a_broken_database_beside_a_good_one(tmp_path):
    write(tmp_path, "rpmdb.sqlite", HEADERS).write_bytes(b"SQLite format 3\0" + bytes(100))
    write(tmp_path, "Packages", HEADERS)
    found = read(tmp_path)
    assert found.signed == len(SIGNED)
    assert "rpmdb.sqlite" in found.errors[0]


def test_a_damaged_part_of_sqlite_is_left_out(tmp_path):
    headers = [header(one) for one in rpmdb.packages(600, RED_HAT, size=3000)]
    path = write(tmp_path, "rpmdb.sqlite", headers)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 3 * 4096] = b"\xff" * (3 * 4096)
    path.write_bytes(data)
    found = read(tmp_path)
    assert 580 < found.signed < 600
    assert found.errors


def test_a_rollback_journal_is_rolled_back(tmp_path):
    """What a transaction that never ended wrote is no package."""
    path = tmp_path / "var/lib/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB)")
        connection.execute("INSERT INTO Packages (blob) VALUES (?)", (HEADERS[0],))
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("PRAGMA cache_spill = 1")
        connection.execute("BEGIN")
        for _ in range(300):
            connection.execute("INSERT INTO Packages (blob) VALUES (?)", (HEADERS[1] * 9,))
        journal = path.with_name(f"{path.name}-journal").read_bytes()
        during = path.read_bytes()
    path.write_bytes(during)
    path.with_name(f"{path.name}-journal").write_bytes(journal)
    found = read(tmp_path)
    assert (found.count, found.errors) == (1, [])


def test_a_table_that_never_ends_ends(tmp_path, monkeypatch):
    monkeypatch.setattr("api.inspector.sqlite._SECONDS", 0.5)
    path = tmp_path / "var/lib/rpm/rpmdb.sqlite"
    path.parent.mkdir(parents=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE VIEW Packages AS WITH RECURSIVE n(hnum) AS "
            "(SELECT 1 UNION ALL SELECT hnum + 1 FROM n) SELECT hnum, 'x' AS blob FROM n"
        )
    assert read(tmp_path).errors


def test_a_database_of_more_than_512_mb_is_not_read(tmp_path):
    for name in ("rpmdb.sqlite", "Packages"):
        path = tmp_path / "var/lib/rpm" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            file.write(rpmdb.berkeley(HEADERS) if name == "Packages" else b"")
            file.truncate(512 * 2**20 + 1)
    found = read(tmp_path)
    assert found.count == 0
    assert [error for error in found.errors if "more than 536870912" in error] == found.errors
    assert len(found.errors) == 2


def test_no_database(tmp_path):
    assert not read(tmp_path).has_files
    (tmp_path / "var/lib/rpm").mkdir(parents=True)
    assert not read(tmp_path).has_files
    (tmp_path / "var/lib/rpm/__db.001").touch()
    assert read(tmp_path).has_files


def test_the_keys_of_red_hat():
    """05 §9."""
    assert len(RED_HAT_KEYS) == 5
    assert {RED_HAT, RED_HAT_AUXILIARY} <= RED_HAT_KEYS


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        bytes(8),
        struct.pack(">II", 2**31, 2**31),
        struct.pack(">II", 1, 2**31) + bytes(16),
        struct.pack(">II", 1, 4) + struct.pack(">iIiI", 1000, 6, 2**30, 1) + b"abc\0",
        struct.pack(">II", 1, 4) + struct.pack(">iIiI", 1000, 6, -1, 1) + b"abc\0",
    ],
)
def test_headers_that_are_none(blob):
    with pytest.raises(UnreadableError):
        read_header(blob)


@given(st.binary(max_size=300), st.integers(0, 500), st.integers(0, 255))
def test_any_header_is_read_or_refused(tail, place, value):
    blob = bytearray(HEADERS[0] + tail)
    blob[place % len(blob)] = value
    try:
        package = read_header(bytes(blob))
    except UnreadableError:
        return
    assert package.key_id is None or len(package.key_id) == 16


@given(st.binary(max_size=80))
def test_any_packet_gives_a_key_id_or_none(packet):
    found = openpgp.key_id(packet)
    assert found is None or len(found) == 16


def test_packets_in_the_new_format():
    old = rpmdb.signature(RED_HAT)
    body = old[3:]
    assert openpgp.key_id(bytes([0xC2, len(body)]) + body) == RED_HAT
    assert openpgp.key_id(b"\xc2\xff" + struct.pack(">I", len(body)) + body) == RED_HAT
    # A packet of another kind is no signature.
    assert openpgp.key_id(bytes([0xC6, len(body)]) + body) is None
