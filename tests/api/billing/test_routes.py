"""Who asks for findings, and how (spec 11 §2): the routes, the command, the task, the metric."""

import io
import json
from urllib.parse import quote, urlencode

import pytest
import time_machine
from django.core.management import CommandError, call_command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.billing.summary import summarize_all
from api.internal import gauges, metrics
from api.models import BillingFinding
from api.tasks.billing import summarize_billing_findings
from tests import factories
from tests.api.internal.callers import ANYBODY, B
from tests.api.metering.notation import at
from tests.api.public.callers import caller_for
from tests.api.trust.conftest import Asker

pytestmark = pytest.mark.django_db

PAYG = "RunInstances:0010"


@pytest.fixture
def ask(environment):
    return Asker(environment)


@pytest.fixture
def fleet(environment):
    """Three instances that the cloud charges for, in two accounts and regions, and one of Azure."""
    second = factories.make_aws_account(user=environment.user)
    image = environment.image(usage_operation=PAYG)
    instances = [
        factories.make_instance(account=account, image=image, region=region)
        for account, region in (
            (environment.account, "us-east-1"),
            (environment.account, "eu-west-1"),
            (second, "us-east-1"),
        )
    ]
    azure = factories.make_azure_account(user=environment.user)
    offer = factories.make_azure_image(
        user=environment.user, publisher="RedHat", offer="RHEL", rhel_detected_by_tag=True
    )
    instances.append(factories.make_instance(account=azure, image=offer))
    for hour, instance in enumerate(instances):
        factories.make_run(instance=instance, start=at(f"10T0{hour}"), end=at("11T12"))
    return instances


def ids(answer):
    return [row["instance"]["instance_id"] for row in answer["data"]]


def test_form_of_the_answer(ask, environment):
    instance = environment.instance(image=environment.image(usage_operation=PAYG, name="corp"))
    factories.make_run(instance=instance, start=at("11T00"))
    answer = ask.get("/billing-findings/")
    assert list(answer) == ["meta", "links", "data"]
    assert answer["meta"] == {"count": 1}
    assert answer["data"] == [
        {
            "kind": "counted_but_billed",
            "confidence": "likely",
            "instance": {
                "instance_id": instance.id,
                "cloud_type": "aws",
                "cloud_id": instance.cloud_instance_id,
                "region": "us-east-1",
                "cloud_account_id": environment.account.id,
            },
            "cloud_account_id": environment.account.id,
            "image": {
                "image_id": instance.machine_image_id,
                "cloud_id": instance.machine_image.cloud_image_id,
                "name": "corp",
            },
            "from": "2023-03-11T00:00:00Z",
            "until": None,
            "seconds": 86_400,
            "vcpu_seconds": 172_800,
            "evidence": [
                {"name": "usage_operation", "of": "image", "value": PAYG, "observed_at": None},
                {"name": "billing", "of": "instance", "value": "cloud", "observed_at": None},
            ],
        }
    ]


def test_days(ask, fleet):
    assert len(ids(ask.get("/billing-findings/"))) == 4
    assert ids(ask.get("/billing-findings/?start_date=2023-03-12&end_date=2023-03-13")) == []
    error = ask.get("/billing-findings/?start_date=2022-12-31", status=400)
    assert error == {"start_date": ["start_date must be same as or after the user creation date."]}
    error = ask.get("/billing-findings/?end_date=2023-03-14", status=400)
    assert error == {"end_date": ["end_date cannot be in the future."]}


def test_filters(ask, fleet, environment):
    one, two, three, azure = fleet
    base = "/billing-findings/?start_date=2023-03-10"

    def shown(**filters):
        query = "".join(f"&filter[{name}]={quote(str(text))}" for name, text in filters.items())
        return ids(ask.get(base + query))

    assert shown() == [one.id, two.id, three.id, azure.id]
    assert shown(account=environment.account.id) == [one.id, two.id]
    assert shown(region="us-east-1,eastus") == [one.id, three.id, azure.id]
    assert shown(region="us-east-1", account=environment.account.id) == [one.id]
    assert shown(instance=two.id) == [two.id]
    assert shown(instance=f"{azure.cloud_instance_id.upper()},{one.cloud_instance_id}") == [
        one.id, azure.id,
    ]  # fmt: skip
    assert shown(kind="converted") == []
    assert shown(kind="converted,counted_but_billed", confidence="likely") == shown()
    assert shown(account=2**70) == []


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("filter[foo]=1", {"filter[foo]": ["Unknown filter."]}),
        ("filter[account]=x", {"filter[account]": ["Enter a whole number."]}),
        (
            "filter[kind]=nothing",
            {
                "filter[kind]": [
                    "Select a valid choice. nothing is not one of the available choices."
                ]
            },
        ),
        ("filter[region]=%00", {"filter[region]": ["Null characters are not allowed."]}),
    ],
)
def test_wrong_filters(ask, fleet, query, error):
    assert ask.get(f"/billing-findings/?{query}", status=400) == error


def test_pages(ask, fleet):
    page = ask.get("/billing-findings/?start_date=2023-03-10&limit=2&offset=1")
    assert (page["meta"]["count"], ids(page)) == (4, [fleet[1].id, fleet[2].id])
    assert ask.get("/billing-findings/?start_date=2023-03-10&offset=7")["meta"]["count"] == 4
    assert "start_date=2023-03-10" in page["links"]["next"]


@given(
    st.dictionaries(
        st.sampled_from(
            ["start_date", "end_date", "limit", "offset", "filter[", "order_by[kind]"]
            + [f"filter[{name}]" for name in ("kind", "account", "region", "instance", "x")]
        ),
        st.one_of(st.text(max_size=8), st.sampled_from(["2023-03-10", "9" * 25, "%", "a,,b"])),
        max_size=4,
    )
)
@settings(
    max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True
)
def test_no_query_is_a_server_error(ask, query):
    with time_machine.travel(at("12T02"), tick=False):
        answer = ask.caller.get(f"/billing-findings/?{urlencode(query)}")
    assert answer.status_code in (200, 400)


def test_another_customers_findings_are_not_shown(fleet, environment):
    stranger = caller_for(factories.make_user(date_joined=at("2023-01-01T00")))
    with time_machine.travel(at("12T02"), tick=False):
        for instance in fleet:
            path = f"/billing-findings/?start_date=2023-03-10&filter[instance]={instance.id}"
            assert stranger.get(path).json()["data"] == []


def test_internal_twin(ask, fleet, environment):
    path = f"{B}/billing-findings/?start_date=2023-03-10&filter[instance]={fleet[0].id}"
    with time_machine.travel(at("12T02"), tick=False):
        answer = ANYBODY.get(f"{path}&user_id={environment.user.id}")
        assert ids(answer.json()) == [fleet[0].id]
        assert ANYBODY.get(path).json() == {"user_id": ["This parameter is required."]}
        unknown = ANYBODY.get(f"{path}&user_id=0")
    assert (unknown.status_code, unknown.json()) == (400, {"user_id": ["There is no such user."]})


def command(*arguments):
    out = io.StringIO()
    with time_machine.travel(at("12T02"), tick=False):
        call_command("findings", *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_command(environment, fleet):
    user = str(environment.user.id)
    lines = [json.loads(line) for line in command("--user-id", user, "--since", "2023-03-10")]
    assert [line["instance"]["instance_id"] for line in lines] == [one.id for one in fleet]
    assert command("--user-id", user, "--kind", "converted") == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("--org-id", "nobody"),
        ("--org-id", "org", "--kind", "foo"),
        ("--org-id", "org", "--since", "2023-03-10", "--until", "2023-03-10"),
        ("--org-id", "org", "--since", "yesterday"),
    ],
)
def test_command_refuses_what_there_is_not(db, arguments):
    factories.make_user(org_id="org")
    with pytest.raises(CommandError) as ended:
        command(*arguments)
    assert ended.value.returncode == 2


def test_metric_and_task(environment, fleet, monkeypatch):
    monkeypatch.setattr(metrics, "_system", gauges.SystemCollector())
    with time_machine.travel(at("12T02"), tick=False):
        assert summarize_billing_findings() == 4
        assert summarize_all() == 4
    page = ANYBODY.get("/internal/metrics").content.decode()
    assert 'cloudigrade_billing_findings{kind="counted_but_billed"} 4.0' in page
    assert 'cloudigrade_billing_findings{kind="converted"} 0.0' in page
    with time_machine.travel(at("14T02"), tick=False):
        assert summarize_all() == 0
    assert not BillingFinding.objects.exists()


def test_findings_of_a_customer_who_is_gone_go_too(environment, fleet):
    BillingFinding.objects.create(
        user_id=2**40, instance_id=fleet[0].id, kind="converted", confidence="certain", seconds=1
    )
    with time_machine.travel(at("14T02"), tick=False):
        summarize_all()
    assert not BillingFinding.objects.exists()


def test_one_customer_who_cannot_be_summarized_stops_no_other(
    environment, fleet, monkeypatch, caplog
):
    poor = factories.make_aws_account()
    real = summarize_all.__globals__["summarize"]

    def summarize(*, user_id):
        if user_id == poor.user_id:
            raise summarize_all.__globals__["DatabaseError"]
        return real(user_id=user_id)

    monkeypatch.setitem(summarize_all.__globals__, "summarize", summarize)
    with time_machine.travel(at("12T02"), tick=False):
        assert summarize_all() == 4
    assert f"user {poor.user_id} cannot be summarized" in caplog.text
