"""Root trees of systems as their vendors ship them, as far as an inspection looks at them."""

import json
import struct
from pathlib import Path

from tests.generators import rpmdb
from tests.generators.disks import write_tree
from tests.generators.rpmdb import CENTOS, DSA, FEDORA, ORACLE, RED_HAT, Package, packages

PURPOSE = {
    "role": "Red Hat Enterprise Linux Server",
    "service_level_agreement": "Premium",
    "usage": "Production",
}
_USR_LINKS = {"sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64", "bin": "usr/bin"}


def elf(machine: int = 62, *, order: str = "<") -> bytes:
    """Return the beginning of a program for a machine; 62 is x86_64, 183 arm64."""
    identity = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + b"\x01" + bytes(9)
    return identity + struct.pack(f"{order}HH", 3, machine) + bytes(44)


def repository(section: str, name: str, *, enabled: str = "1") -> str:
    """Return a .repo file of one repository."""
    return f"[{section}]\nname = {name}\nbaseurl = https://repo.invalid/\nenabled = {enabled}\n"


def _links(**more: str) -> dict[str, str]:
    return {
        **_USR_LINKS,
        "usr/sbin/init": "../lib/systemd/systemd",
        "etc/os-release": "../usr/lib/os-release",
        **more,
    }


def scenario_30(root: Path) -> Path:
    """Write the tree of 05 §13 item 30, with all else that RHEL 7 has."""
    return rhel_7(root)


def rhel_7(root: Path) -> Path:
    """Write RHEL 7.4, whose packages are in Berkeley DB, registered and with a purpose."""
    release = "Red Hat Enterprise Linux Server release 7.4 (Maipo)\n"
    headers = [
        rpmdb.header(one)
        for one in (
            *packages(40, RED_HAT),
            Package("old", RED_HAT, DSA, 3),
            Package("epel-release", FEDORA),
            Package("gpg-pubkey"),
        )
    ]
    files: dict[str, str | bytes] = {
        "etc/redhat-release": release,
        "usr/lib/os-release": 'NAME="Red Hat Enterprise Linux Server"\nID="rhel"\n'
        'ID_LIKE="fedora"\nVERSION_ID="7.4"\n',
        "etc/yum.conf": "[main]\ncachedir=/var/cache/yum/$basearch\n",
        "etc/yum.repos.d/redhat.repo": repository(
            "rhel-7-server-rpms", "Red Hat Enterprise Linux 7 Server (RPMs)"
        )
        + repository("rhel-7-server-debug-rpms", "Red Hat 7 Debug", enabled="0"),
        "etc/pki/product/69.pem": "-",
        "etc/pki/product/201.pem": "-",
        "etc/pki/consumer/cert.pem": "-",
        "etc/pki/entitlement/1234.pem": "-",
        "etc/pki/entitlement/1234-key.pem": "-",
        "etc/rhsm/syspurpose/syspurpose.json": json.dumps(PURPOSE),
        "usr/lib/systemd/systemd": elf(),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
        "var/lib/rpm/Packages": rpmdb.berkeley(headers),
    }
    return write_tree(root, files, _links(**{"etc/system-release": "redhat-release"}))


def rhel_8(root: Path) -> Path:
    """Write RHEL 8.4 as the cloud sells it, with the client of Red Hat's update service."""
    headers = [
        rpmdb.header(one)
        for one in (*packages(50, RED_HAT), Package("rh-amazon-rhui-client", RED_HAT))
    ]
    files: dict[str, str | bytes] = {
        "etc/redhat-release": "Red Hat Enterprise Linux release 8.4 (Ootpa)\n",
        "usr/lib/os-release": 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nVERSION_ID="8.4"\n',
        "etc/dnf/dnf.conf": "[main]\ngpgcheck=1\n",
        "etc/yum.repos.d/redhat-rhui.repo": repository(
            "rhel-8-baseos-rhui-rpms", "Red Hat Enterprise Linux 8 for x86_64 - BaseOS from RHUI"
        ),
        "etc/pki/rhui/product.crt": "-",
        "etc/pki/product-default/479.pem": "-",
        "etc/rhsm/syspurpose/syspurpose.json": json.dumps(PURPOSE),
        "usr/lib/systemd/systemd": elf(),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
        "var/lib/rpm/Packages": rpmdb.berkeley(headers),
    }
    return write_tree(root, files, _links(**{"etc/yum.conf": "dnf/dnf.conf"}))


def rhel_9(root: Path) -> Path:
    """Write RHEL 9.2, whose packages are in SQLite, some in the log only."""
    headers = [rpmdb.header(one) for one in (*packages(60, RED_HAT), Package("mine"))]
    later = [rpmdb.header(one) for one in packages(5, RED_HAT, prefix="later")]
    files: dict[str, str | bytes] = {
        "etc/redhat-release": "Red Hat Enterprise Linux release 9.2 (Plow)\n",
        "usr/lib/os-release": 'NAME="Red Hat Enterprise Linux"\nID="rhel"\nVERSION_ID="9.2"\n',
        "etc/dnf/dnf.conf": "[main]\nreposdir='/etc/yum.repos.d', \"/opt/repos\"\n",
        "opt/repos/own.repo": repository("own", "A mirror of RHEL 9"),
        "usr/lib/systemd/systemd": elf(),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
    }
    rpmdb.write_sqlite(root / "usr/lib/sysimage/rpm/rpmdb.sqlite", headers, in_log=later)
    return write_tree(root, files, _links(**{"var/lib/rpm": "../../usr/lib/sysimage/rpm"}))


def centos_7(root: Path) -> Path:
    """Write CentOS 7.4: not RHEL, but like it."""
    headers = [rpmdb.header(one) for one in packages(30, CENTOS)]
    files: dict[str, str | bytes] = {
        "etc/centos-release": "CentOS Linux release 7.4.1708 (Core)\n",
        "usr/lib/os-release": 'NAME="CentOS Linux"\nID="centos"\nID_LIKE="rhel fedora"\n'
        'VERSION_ID="7"\n',
        "etc/yum.repos.d/CentOS-Base.repo": repository("base", "CentOS-$releasever - Base"),
        "usr/lib/systemd/systemd": elf(),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
        "var/lib/rpm/Packages": rpmdb.berkeley(headers),
    }
    return write_tree(root, files, _links(**{"etc/redhat-release": "centos-release"}))


def oracle_8(root: Path) -> Path:
    """Write Oracle Linux 8.6, which ships a release file with Red Hat's name in it."""
    headers = [rpmdb.header(one) for one in packages(30, ORACLE)]
    files: dict[str, str | bytes] = {
        "etc/redhat-release": "Red Hat Enterprise Linux release 8.6 (Ootpa)\n",
        "etc/oracle-release": "Oracle Linux Server release 8.6\n",
        "usr/lib/os-release": 'NAME="Oracle Linux Server"\nID="ol"\nID_LIKE="fedora"\n'
        'VERSION_ID="8.6"\n',
        "usr/lib/systemd/systemd": elf(),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
        "var/lib/rpm/Packages": rpmdb.berkeley(headers),
    }
    return write_tree(root, files, _links())


def fedora_38(root: Path) -> Path:
    """Write Fedora 38."""
    headers = [rpmdb.header(one) for one in packages(30, FEDORA)]
    files: dict[str, str | bytes] = {
        "etc/fedora-release": "Fedora release 38 (Thirty Eight)\n",
        "usr/lib/os-release": 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=38\n',
        "etc/yum.repos.d/fedora.repo": repository("fedora", "Fedora $releasever - $basearch"),
        "usr/lib/systemd/systemd": elf(183),
        "usr/bin/true": "",
        "usr/lib64/libc.so": "",
    }
    rpmdb.write_sqlite(root / "usr/lib/sysimage/rpm/rpmdb.sqlite", headers)
    return write_tree(root, files, _links())


def ostree(root: Path) -> Path:
    """Write an ostree disk: the system lies in a deployment."""
    deployed = root / "ostree/deploy/rhel/deploy/abc.0"
    rhel_9(deployed)
    return write_tree(
        root,
        {"ostree/repo/config": "[core]\n", "boot/loader/entries/ostree-1.conf": "title RHEL\n"},
        {
            "ostree/boot.1": "boot.1.1",
            "ostree/boot.1.1/rhel/0123abcd/0": "../../../deploy/rhel/deploy/abc.0",
        },
    )
