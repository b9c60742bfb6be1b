"""What a directory tree that is an image's root says of the system in it (spec 05 §8, §9).

Packages' signatures are not looked at: that takes RPM's own libraries.
"""

import configparser
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

RED_HAT = "Red Hat"
CERTIFICATES = ("69.pem", "479.pem")
CERTIFICATE_FOLDERS = ("etc/pki/product", "etc/pki/product-default")
CONFIGURATIONS = ("etc/dnf/dnf.conf", "etc/yum.conf")
REPOSITORIES = "etc/yum.repos.d"
REPOSITORY_MARKS = ("rhel", "red hat")
SYSPURPOSE = "etc/rhsm/syspurpose/syspurpose.json"
MAX_SYSPURPOSE = 1024
"""Bytes."""

Facts = dict[str, Any]


def inspect_image(root: Path, *, drive: str) -> Facts:
    """Give an image's part of a result file, for a disk of one partition."""
    facts = inspect_tree(root)
    found = {
        f"{rule}_found": facts[rule]["rhel_found"]
        for rule in (
            "rhel_release_files",
            "rhel_product_certs",
            "rhel_enabled_repos",
            "rhel_signed_packages",
        )
    }
    is_rhel = any(found.values())
    return {
        "rhel_found": is_rhel,
        **found,
        "rhel_version": facts["os_version"] if found["rhel_release_files_found"] else None,
        "syspurpose": _parsed(facts["syspurpose_contents"]) if is_rhel else None,
        "drives": {drive: {f"{drive}1": {"facts": facts}}},
        "errors": [],
    }


def inspect_tree(root: Path) -> Facts:
    """Give the facts of one partition."""
    return {
        "rhel_release_files": _release_files(root),
        "rhel_product_certs": _certificates(root),
        "rhel_enabled_repos": _repositories(root),
        "rhel_signed_packages": {"rhel_found": False, "rhel_signed_package_count": 0},
        "os_version": _version(root),
        "syspurpose_contents": _syspurpose(root),
    }


def _release_files(root: Path) -> Facts:
    files, unreadable = [], []
    for path in sorted(root.glob("etc/*-release")):
        name = f"/{path.relative_to(root)}"
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            unreadable.append(name)
            continue
        files.append(
            {
                "rhel_release_file": name,
                "rhel_release_file_contents": text,
                "rhel_found": RED_HAT in text,
            }
        )
    fact: Facts = {"rhel_found": any(one["rhel_found"] for one in files), "release_files": files}
    if unreadable:
        fact["status"] = f"not UTF-8: {', '.join(unreadable)}"
    return fact


def _certificates(root: Path) -> Facts:
    found = [
        str(path)
        for folder in CERTIFICATE_FOLDERS
        for name in CERTIFICATES
        if (path := root / folder / name).is_file()
    ]
    return {"rhel_found": bool(found), "rhel_pem_files": found}


def _repositories(root: Path) -> Facts:
    found = {
        (section, name)
        for path in _repository_files(root)
        for section, name in _enabled(path)
        if any(mark in name.lower() for mark in REPOSITORY_MARKS)
    }
    repositories = [{"repo": section, "name": name} for section, name in sorted(found)]
    return {"rhel_found": bool(found), "rhel_enabled_repos": repositories}


def _repository_files(root: Path) -> Iterator[Path]:
    folders = [REPOSITORIES]
    for name in CONFIGURATIONS:
        path = root / name
        if path.is_file():
            yield path
            text = _read(path).get("main", "reposdir", fallback="")
            folders += [folder.strip().strip("'\"") for folder in text.split(",")]
    for folder in dict.fromkeys(folder.strip("/") for folder in folders if folder):
        yield from sorted((root / folder).glob("*.repo"))


def _enabled(path: Path) -> Iterator[tuple[str, str]]:
    parser = _read(path)
    for section in parser.sections():
        if parser.get(section, "enabled", fallback="") == "1":
            yield section, parser.get(section, "name", fallback="")


def _read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
    except (configparser.Error, UnicodeDecodeError):
        return configparser.ConfigParser()
    return parser


def _version(root: Path) -> str | None:
    path = root / "etc/os-release"
    if not path.is_file():
        return None
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "VERSION_ID":
            return value.strip().strip("'\"")
    return None


def _syspurpose(root: Path) -> str | None:
    path = root / SYSPURPOSE
    if not path.is_file() or path.stat().st_size > MAX_SYSPURPOSE:
        return None
    return path.read_text(encoding="utf-8", errors="replace")


def _parsed(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return None
