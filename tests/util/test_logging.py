"""Log lines (08 §8)."""

import json
import logging
import logging.config
import re

import pytest

from util import redaction
from util.logging import FLOORS, LINE_FORMAT, JSONFormatter, LogLines, logging_config
from util.request_id import RequestIdFilter, request_context


@pytest.fixture
def configure():
    """Configure loggers of the test's own; nothing of it is left afterwards."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:])

    def apply(**options):
        config = logging_config(
            **{"levels": {"probe": "INFO"}, "root_level": "INFO", "console_level": "INFO"} | options
        )
        logging.config.dictConfig(config)
        return logging.getLogger("probe")

    yield apply
    logging.getLogger("probe").handlers.clear()
    root.setLevel(before[0])
    root.handlers[:] = before[1]


def test_the_form_of_a_line(configure, capsys):
    logger = configure()
    with request_context("the-id"):
        logger.info("hello %s", "world")
    logger.warning("outside")
    first, second = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| INFO \| \d+ \| "
        r"test_logging.py:test_the_form_of_a_line:\d+ \| requestid:the-id \| hello world",
        first,
    )
    assert "| requestid:None | outside" in second


def test_own_loggers_do_not_propagate(configure, capsys):
    configure().info("once")
    assert capsys.readouterr().err.count("once") == 1


class Memory(logging.Handler):
    def __init__(self, lines):
        super().__init__()
        self.lines = lines

    def emit(self, record):
        self.lines.append(self.format(record))


def test_every_handler_has_the_field_whatever_the_others_levels(configure, capsys, monkeypatch):
    """08 §26.15."""
    lines: list[str] = []
    monkeypatch.setattr("util.cloudwatch.cloudwatch_handler", lambda **_: Memory(lines))
    logger = configure(console_level="ERROR", cloudwatch={"level": "INFO", "region": "r"})
    logger.info("hello")
    logging.getLogger("another").info("from the root logger")
    assert capsys.readouterr().err == ""
    assert "| requestid:None | hello" in lines[0]
    assert "| requestid:None | from the root logger" in lines[1]


def test_json_lines_have_the_same_fields(configure, capsys):
    logger = configure(line_format="json")
    with request_context("the-id", "platform"):
        try:
            1 / 0  # noqa: B018
        except ZeroDivisionError:
            logger.exception("it failed")
    fields = json.loads(capsys.readouterr().err)
    assert fields["level"] == "ERROR"
    assert fields["message"] == "it failed"
    assert (fields["requestid"], fields["insights_requestid"]) == ("the-id", "platform")
    assert "ZeroDivisionError" in fields["exception"]
    assert fields["place"].startswith("test_logging.py:test_json_lines_have_the_same_fields:")


def test_a_record_that_no_filter_saw_is_still_json():
    line = JSONFormatter().format(logging.makeLogRecord({"msg": "bare"}))
    assert json.loads(line)["requestid"] is None


def test_the_line_format_is_the_contract():
    record = logging.makeLogRecord(
        {
            "levelname": "INFO",
            "process": 1,
            "filename": "f.py",
            "funcName": "g",
            "lineno": 2,
            "msg": "m",
        }
    )
    RequestIdFilter().filter(record)
    line = logging.Formatter(LINE_FORMAT).format(record)
    assert line.partition(" | ")[2] == "INFO | 1 | f.py:g:2 | requestid:None | m"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\x0b", "\x85", "\u2028", "\x1b[2K\r"])
def test_no_text_forges_a_line(configure, capsys, ending):
    """Fault 15: what a client sends cannot look like another record."""
    logger = configure()
    forged = "2026-01-01 00:00:00,000 | ERROR | 1 | a.py:b:1 | requestid:None | forged"
    logger.warning("Not Found: %s", f"/x{ending}{forged}")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].endswith(forged)


def test_lines_of_people_become_records(configure, capsys):
    """Operations issue, item 4."""
    logger = configure(line_format="json")
    with LogLines(logger, logging.ERROR) as stream:
        stream.write("Running migrations:\n\n  Applying x...")
        stream.flush()
        stream.write(" OK\nlast")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["message"]) for line in lines] == [
        ("ERROR", "Running migrations:"),
        ("ERROR", "Applying x... OK"),
        ("ERROR", "last"),
    ]


def test_only_tracebacks_have_several_lines(configure, capsys):
    logger = configure()
    logger.info("Starting\n  a")
    try:
        raise ValueError("no\nway")
    except ValueError:
        logger.exception("Failed")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("Starting\\n  a")
    assert "Traceback (most recent call last):" in lines


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_no_secret_is_logged(configure, capsys, monkeypatch, line_format):
    """Fault 13, in messages and in tracebacks."""
    monkeypatch.setattr(redaction, "_known", set())
    monkeypatch.setattr(redaction, "_pattern", redaction._pattern)
    redaction.remember(["hunter2-hunter2"])
    logger = configure(line_format=line_format)
    logger.info("key %s", "hunter2-hunter2")
    try:
        raise ValueError("hunter2-hunter2")
    except ValueError:
        logger.exception("Failed")
    output = capsys.readouterr().err
    assert output.count(redaction.MASK) >= 2
    assert "hunter2" not in output


@pytest.mark.parametrize("name", FLOORS)
def test_libraries_that_log_credentials_never_log_at_debug(configure, name):
    """Fault 13: STS's answers, Azure's tokens, the arguments of tasks."""
    configure(root_level="DEBUG", levels={"probe": "DEBUG", "azure": "DEBUG"})
    for logger in (logging.getLogger(name), logging.getLogger(f"{name}.deeper")):
        assert logger.getEffectiveLevel() == logging.getLevelNamesMapping()[FLOORS[name]]
