"""Enabled repositories (spec 05 §9)."""

import configparser
import re
from collections.abc import Iterator
from typing import Any

from api.inspector.limits import MAX_CONFIGURATION
from api.inspector.tree import EntryKind, Tree

CONFIGURATIONS = ("/etc/dnf/dnf.conf", "/etc/yum.conf")
FOLDER = "/etc/yum.repos.d"
MARKS = ("rhel", "red hat")
MAX_SHOWN = 500
_MAX_WORD = 200
_MAX_FOLDERS = 50


def enabled_repositories(tree: Tree) -> dict[str, Any]:
    """Return the fact of enabled repositories."""
    found: set[tuple[str, str]] = set()
    unreadable: list[str] = []
    for path in _files(tree, unreadable):
        found |= set(_enabled(tree, path, unreadable))
    shown = [
        {"repo": section[:_MAX_WORD], "name": name[:_MAX_WORD]} for section, name in sorted(found)
    ]
    fact: dict[str, Any] = {"rhel_found": bool(found), "rhel_enabled_repos": shown[:MAX_SHOWN]}
    if unreadable:
        fact["status"] = "; ".join(unreadable[:MAX_SHOWN])
    return fact


def _files(tree: Tree, unreadable: list[str]) -> Iterator[str]:
    folders = [FOLDER]
    for path in CONFIGURATIONS:
        parser = _read(tree, path, unreadable)
        if parser is not None:
            yield path
            folders += _folders(parser)
    for folder in list(dict.fromkeys(folders))[:_MAX_FOLDERS]:
        for name in tree.list(folder):
            if name.endswith(".repo"):
                yield f"{folder}/{name}"


def _folders(parser: configparser.RawConfigParser) -> list[str]:
    """Return what ``reposdir`` of ``[main]`` names: separated by commas or lines, maybe quoted."""
    text = parser.get("main", "reposdir", fallback="") or ""
    folders = [part.strip().strip("'\"").strip() for part in re.split(r"[,\n]", text.strip("'\""))]
    return ["/" + folder.strip("/") for folder in folders if folder]


def _enabled(tree: Tree, path: str, unreadable: list[str]) -> Iterator[tuple[str, str]]:
    """Yield section and name of the repositories of a file that count."""
    noted: list[str] = [] if path in CONFIGURATIONS else unreadable
    parser = _read(tree, path, noted)
    if parser is None:
        return
    for section in parser.sections():
        name = parser.get(section, "name", fallback="") or ""
        enabled = parser.get(section, "enabled", fallback="") or ""
        if enabled == "1" and any(mark in name.lower() for mark in MARKS):
            yield section, name


def _read(tree: Tree, path: str, unreadable: list[str]) -> configparser.RawConfigParser | None:
    """Read a file; None if there is none, or nothing of it is understood."""
    if tree.kind(path) is not EntryKind.FILE:
        return None
    data = tree.read(path, MAX_CONFIGURATION)
    if data is None:
        unreadable.append(f"{path} cannot be read")
        return None
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(data.decode("utf-8-sig"))
    except (configparser.Error, UnicodeDecodeError) as error:
        unreadable.append(f"{path} is not understood: {type(error).__name__}")
    return parser
