"""Reading the environment (08 §2)."""

import os

import pytest
from django.core.exceptions import ImproperlyConfigured
from hypothesis import given
from hypothesis import strategies as st

from util.env import (
    BOOL,
    FLOAT,
    INT,
    JSON,
    LEVEL,
    LIST,
    TEXT,
    Environment,
    SameAs,
    Variable,
    load_dotenv,
    parse_bool,
    parse_dotenv,
)


def read(kind, text, default=None, **more):
    """Read one variable; return its value and what was complained about."""
    variable = Variable(name="X", kind=kind, group="", help="", default=default, **more)
    env = Environment([variable], {} if text is None else {"X": text})
    value = env("X")
    try:
        env.check()
    except ImproperlyConfigured as error:
        return value, str(error)
    return value, None


@pytest.mark.parametrize(
    "text", ["1", "2", "-1", " 7 ", "true", "TRUE", "True", "on", "ok", "y", "Y", "yes"]
)
def test_true(text):
    assert parse_bool(text) is True


@pytest.mark.parametrize(
    "text", ["0", "-0", "false", "no", "off", "", " ", "n", "t", "1.0", "${X}"]
)
def test_false(text):
    assert parse_bool(text) is False


@given(st.text())
def test_no_text_is_an_error_for_a_bool(text):
    assert read(BOOL, text)[1] is None


@given(st.integers())
def test_numbers_are_true_but_zero(number):
    assert parse_bool(str(number)) is (number != 0)


def test_an_empty_bool_is_false_whatever_the_default():
    assert read(BOOL, "", default=True) == (False, None)
    assert read(BOOL, None, default=True) == (True, None)


@pytest.mark.parametrize("kind", [INT, FLOAT, TEXT, JSON, LEVEL])
@pytest.mark.parametrize("text", ["", " ", None])
def test_an_empty_text_is_no_text(kind, text):
    assert read(kind, text, default="the default") == ("the default", None)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (INT, "12", 12),
        (INT, " -3 ", -3),
        (FLOAT, "0.25", 0.25),
        (LIST, "a, b ,c", ["a", "b", "c"]),
        (LIST, "", []),
        (LIST, "a", ["a"]),
        (JSON, '{"a": "b"}', {"a": "b"}),
        (LEVEL, "debug", "DEBUG"),
        (TEXT, "$ecret", "$ecret"),
        (TEXT, "${NAME}", "${NAME}"),
    ],
)
def test_values(kind, text, value):
    assert read(kind, text) == (value, None)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (INT, "abc"),
        (INT, "1.5"),
        (INT, "${DJANGO_DATABASE_PORT}"),
        (FLOAT, "much"),
        (JSON, "{"),
        (JSON, "[]"),
        (JSON, "[" * 100_000),
        (LEVEL, "LOUD"),
    ],
)
def test_malformed_values_are_complained_of_by_name(kind, text):
    value, complaint = read(kind, text, default="the default")
    assert value == "the default"
    assert "X: " in complaint


def test_a_secret_s_value_is_never_told():
    _, complaint = read(JSON, "hunter2", secret=True)
    assert "X: the value is not a JSON object" in complaint
    assert "hunter2" not in complaint


def test_a_placeholder_may_count_as_unset():
    assert read(TEXT, "${CLOUDIGRADE_VERSION}", placeholder_is_unset=True) == (None, None)
    assert read(TEXT, "a${B}", placeholder_is_unset=True) == ("a${B}", None)


def test_ranges_and_choices():
    assert read(INT, "5", minimum=5) == (5, None)
    assert "is below 5" in read(INT, "4", minimum=5)[1]
    assert "is above 1" in read(FLOAT, "1.1", maximum=1)[1]
    assert "is none of a, b" in read(TEXT, "c", choices=("a", "b"))[1]


def test_defaults_by_module_and_requirements():
    variable = Variable(
        name="X",
        kind=TEXT,
        group="",
        help="",
        default="base",
        defaults={"local": "local"},
        required_in=("prod",),
    )
    env = Environment([variable], {})
    assert [env("X"), env("X", "local"), env("X", "test")] == ["base", "local", "base"]
    env.check()
    env("X", "prod")
    with pytest.raises(ImproperlyConfigured, match="X is required"):
        env.check()


def test_a_required_list_may_be_empty():
    variable = Variable(name="X", kind=LIST, group="", help="", required_in=("prod",))
    env = Environment([variable], {"X": ""})
    assert env("X", "prod") == []
    env.check()


def test_older_names_and_other_variables_as_defaults():
    variables = [
        Variable(name="NEW", kind=TEXT, group="", help="", fallbacks=("OLD",)),
        Variable(name="COPY", kind=TEXT, group="", help="", default=SameAs("NEW")),
    ]
    assert Environment(variables, {"OLD": "old"})("COPY") == "old"
    assert Environment(variables, {"OLD": "old", "NEW": "new"})("COPY") == "new"
    assert Environment(variables, {"OLD": "old", "NEW": ""})("NEW") == "old"


def test_all_problems_are_told_at_once():
    variables = [
        Variable(name="COUNT", kind=INT, group="", help=""),
        Variable(name="NAME", kind=TEXT, group="", help="", required_in=("base",)),
    ]
    env = Environment(variables, {"COUNT": "abc"})
    env("COUNT")
    env("NAME")
    env("NAME")

    def fail():
        raise ValueError("something else")

    assert env.attempt(fail, "fallback") == "fallback"
    with pytest.raises(ImproperlyConfigured) as caught:
        env.check()
    lines = str(caught.value).splitlines()[1:]
    assert [line.strip() for line in lines] == [
        "- COUNT: 'abc' is not an integer",
        "- NAME is required but not set",
        "- something else",
    ]


def test_dotenv_lines():
    text = """
        # a comment
        PLAIN=value
        export EXPORTED = exported
        SINGLE='it is $HOME \\n'
        DOUBLE="say \\"hi\\"\\n"
        EMPTY=
        HASH=a#b
        PASSWORD=$ecret
        not a line
    """
    assert parse_dotenv(text) == {
        "PLAIN": "value",
        "EXPORTED": "exported",
        "SINGLE": "it is $HOME \\n",
        "DOUBLE": 'say "hi"\n',
        "EMPTY": "",
        "HASH": "a#b",
        "PASSWORD": "$ecret",
    }


def test_the_process_environment_wins_over_the_file(tmp_path, monkeypatch):
    file = tmp_path / ".env"
    file.write_text('FROM_BOTH="file"\nFROM_FILE="file"\n')
    monkeypatch.setattr(os, "environ", {"FROM_BOTH": "process"})
    assert load_dotenv(str(file))
    assert os.environ == {"FROM_BOTH": "process", "FROM_FILE": "file"}


def test_no_file_and_a_directory_are_skipped(tmp_path):
    assert not load_dotenv(str(tmp_path))
    assert not load_dotenv(str(tmp_path / "missing"))
