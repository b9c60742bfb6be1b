"""``manage.py export`` (spec 11 §4, 12 §3)."""

import pytest
from django.core.management import CommandError, call_command

from tests.api.export.conftest import body_of


def export(*arguments: str) -> None:
    call_command("export", *arguments)


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_a_file_has_what_the_route_sends(as_customer, customer, tmp_path, form):
    path = tmp_path / "runs"
    export(
        "runs",
        *("--org-id", customer.org_id) if customer.org_id else ("--user-id", str(customer.id)),
        *("--format", form, "--filter", "filter[rhel]=true", "--output", str(path)),
    )
    sent = body_of(as_customer.get(f"/export/runs.{form}?filter[rhel]=true"))
    assert path.read_bytes() == sent
    assert len(sent.splitlines()) >= 2


def test_standard_output(customer, capfdbinary):
    export("instances", "--user-id", str(customer.id))
    assert capfdbinary.readouterr().out.startswith(b"instance,account,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("runs", "--filter", "filter[foo]=1"), "Unknown filter"),
        (("runs", "--filter", "foo"), "is not NAME=VALUE"),
        (("nothing",), "invalid choice"),
        (("peaks", "--filter", "start_date=2019-04-10"), "unavailable"),
    ],
)
def test_what_makes_no_sense_is_refused(customer, arguments, message):
    with pytest.raises(CommandError, match=message) as raised:
        export(*arguments, "--user-id", str(customer.id))
    assert raised.value.returncode == 2
