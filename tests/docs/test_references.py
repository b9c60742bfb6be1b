"""References in code, tests and documents lead to a section or a decision that there is."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = ROOT / "docs" / "spec"
DECISIONS = ROOT / "docs" / "decisions"
FOLDERS = ("api", "cloudigrade", "deployment", "docs", "tests", "util")
SUFFIXES = {".md", ".py", ".rst", ".sh", ".yaml", ".yml"}

SECTION = re.compile(r"\b(?P<chapter>0[1-9]|1[0-5]) §(?P<section>[0-9]+(?:\.[0-9]+)?)")
DECISION = re.compile(r"\bdecisions? (?P<number>[0-9]+)", re.IGNORECASE)
RECORD = re.compile(r"\b09 (?P<record>P[0-9]+)")
# Sections have headings. Below them numbers begin a place in a list; several of these may stand on
# one line.
HEADING = re.compile(r"^#{2,4} (?P<number>[0-9]+)(?:\.(?P<part>[0-9]+))?\b", re.MULTILINE)
PART = re.compile(r"^\W*(?P<number>[0-9]+)\.(?P<part>[0-9]+)\b", re.MULTILINE)
PLACE = re.compile(r"(?:^|[\s|*(])(?P<place>[0-9]+)(?:\.|\)| \|)[ *]", re.MULTILINE)


def texts():
    """All files that may refer to the specification, but for itself."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in SUFFIXES and not path.is_relative_to(SPEC):
                yield path


@cache
def sections(chapter):
    """The numbers of a chapter's sections, and of what is numbered in each."""
    [path] = SPEC.glob(f"{chapter}-*.md")
    text = path.read_text()
    found = {f"{part['number']}.{part['part']}" for part in PART.finditer(text)}
    headings = list(HEADING.finditer(text))
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    for heading, end in zip(headings, ends, strict=True):
        number = heading["number"]
        found |= {number} | ({f"{number}.{heading['part']}"} if heading["part"] else set())
        body = text[heading.end() : end]
        found |= {f"{number}.{place['place']}" for place in PLACE.finditer(body)}
    return found


@cache
def decisions():
    """The numbers of the decisions that have a record."""
    return {int(path.name[:4]) for path in DECISIONS.glob("[0-9]*.md")}


def unresolved(text):
    for found in SECTION.finditer(text):
        if found["section"] not in sections(found["chapter"]):
            yield found[0]
    for found in DECISION.finditer(text):
        if int(found["number"]) not in decisions():
            yield found[0]
    for found in RECORD.finditer(text):
        if found["record"] not in records():
            yield found[0]


@cache
def records():
    """The names of the records of chapter 09."""
    return set(re.findall(r"\bP[0-9]+\b", (SPEC / "09-records.md").read_text()))


@pytest.mark.parametrize("folder", FOLDERS)
def test_references_lead_somewhere(folder):
    lost = {
        f"{path.relative_to(ROOT)}: {reference}"
        for path in texts()
        if path.is_relative_to(ROOT / folder)
        for reference in unresolved(path.read_text())
    }
    assert not lost


def test_the_specification_is_whole():
    assert len(list(SPEC.glob("[01][0-9]-*.md"))) == 15
    assert set(range(1, 53)) <= decisions()
    for chapter in {*range(1, 16)} - {9}:
        assert sections(f"{chapter:02}"), chapter


def test_each_decision_is_listed_with_its_title():
    index = (SPEC / "README.md").read_text()
    for path in sorted(DECISIONS.glob("00*.md")):
        title = path.read_text().splitlines()[0].removeprefix("# ")
        number, _, words = title.partition(". ")
        assert f"| {number} | [{words}](../decisions/{path.name}) |" in index


def test_what_there_is_not_is_found():
    lost = [f"04 §8.{99}", f"03 §{99}", f"01 §{0}", f"decision {77}", f"09 P{99}"]
    assert list(unresolved(", ".join([*lost, "spec 04 §8.8", "09 P3", "decision 34"]))) == lost
