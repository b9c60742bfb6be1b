"""Filters, order, search, state and facets of lists of instances and images (spec 11 §3, §5).

What the lists give is compared with what plain Python makes of everything there is.
"""

import json
from collections import Counter
from datetime import timedelta
from urllib.parse import quote, urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.models import BillingFinding, Instance, InstanceDefinition, MachineImage
from api.public.instance_fields import IMAGE_BRACKETS, INSTANCE_BRACKETS
from api.public.timestamps import render_instant
from tests import factories
from tests.api.public.callers import Caller, caller_for
from tests.factories import utc
from tests.fuzzing import FUZZED_QUERIES

pytestmark = pytest.mark.django_db

CREATED = utc("2023-03-01")
OPERATIONS = [None, "RunInstances", "RunInstances:0010", "RunInstances:00g0"]
FINDINGS = [[], [], ["converted"], ["unknown_class", "counted_but_billed"]]
ODD_NAMES = [
    "RHEL-8.7.0_HVM",
    "rhel-8_7",
    "100% odd, really",
    "back\\slash",
    "Access2",
    None,
    "étude",
]


@pytest.fixture
def environment(customer_a, customer_b):
    """Two customers with many different instances and images; some images are of both."""
    shared = [
        factories.make_aws_image(
            name=ODD_NAMES[number % 7],
            architecture=[None, "x86_64", "arm64"][number % 3],
            usage_operation=OPERATIONS[number % 4],
            region=[None, "us-east-1", "eu-west-1"][number % 3],
            marketplace=number % 5 == 0,
            owner_aws_account_id=[None, "309956199498", "000000000001"][number % 3],
            status=MachineImage.Status.values[number % 6],
            product_codes=[None, [{"ProductCodeId": "img", "ProductCodeType": "marketplace"}]][
                number % 2
            ],
            inspection_json=json.dumps(
                {
                    "rhel_version": ["8.7", "9.1"][number % 2],
                    "rhel_product_certs_found": True,
                    "rhel_enabled_repos_found": number % 3 == 0,
                    "syspurpose": {"role": ["Server", ""][number % 2], "usage": "Production"},
                }
            )
            if number % 2
            else None,
        )
        for number in range(14)
    ]
    for user in (customer_b, customer_a):
        accounts = [factories.make_aws_account(user=user) for _ in range(3)]
        azure = factories.make_azure_account(user=user)
        for image in shared[:4]:
            factories.make_tags(account=accounts[0], image=image, openshift=image.id % 2 == 0)
        azure_images = [
            factories.make_azure_image(
                user=user,
                publisher=["RedHat", "canonical"][number % 2],
                offer=["rhel-byos", "rhel"][number // 2],
                rhel_detected_by_tag=number == 1,
                rhel_detected_by_license=number == 2,
            )
            for number in range(4)
        ]
        for number in range(60):
            is_azure = number % 6 == 5
            images = azure_images if is_azure else shared
            make_instance(
                number,
                account=azure if is_azure else accounts[number % 3],
                image=None if number % 11 == 0 else images[number % len(images)],
            )
    InstanceDefinition.objects.create(
        cloud_type="aws", instance_type="t3.large", vcpu=2, memory_mib=8192, json_definition={}
    )
    return customer_a


def make_instance(number: int, **columns) -> Instance:
    """Make an instance that differs from its neighbours; many are of one moment."""
    instance = factories.make_instance(
        region=["us-east-1", "us-west-2", "a_b%c", "a-b-c"][number % 4], **columns
    )
    power = [None, "running", "stopped"][number % 3]
    changed = {
        "created_at": CREATED + timedelta(hours=number // 7),
        "power_state": power,
        "power_changed_at": CREATED if power else None,
        "instance_type": [None, "t3.large", "m5.large", "odd,type"][number % 4],
        "usage_operation": OPERATIONS[number % 4] if instance.cloud_type == "aws" else None,
        "product_codes": [{"ProductCodeId": "own", "ProductCodeType": "x"}, {"ProductCodeId": "b"}]
        if number % 5 == 0
        else None,
    }
    Instance.objects.filter(id=instance.id).update(**changed)
    if power == "running":
        factories.make_run(instance=instance, start=CREATED + timedelta(days=number % 5))
    for kind in FINDINGS[number % 4]:
        BillingFinding.objects.create(
            user=instance.cloud_account.user, instance=instance, kind=kind, seconds=1
        )
    return instance


def everything(as_user: Caller, path: str, key: str) -> list[int]:
    """Walk all pages by their links."""
    ids: list[int] = []
    link: str | None = path
    while link:
        body = as_user.get(link)
        assert body.status_code == 200, body.content
        page = body.json()
        ids += [row[key] for row in page["data"]]
        link = page["links"]["next"] and page["links"]["next"].partition("/v2")[2]
    assert page["meta"]["count"] == len(ids)
    return ids


def tags_of(user, image) -> tuple[bool, bool]:
    own = list(image.tags.filter(cloud_account__user=user))
    return any(one.rhel for one in own), any(one.openshift for one in own)


def image_values(user, image) -> dict:
    """What is known of an image, by field; a list has several values."""
    rhel_tag, openshift = tags_of(user, image)
    is_azure = image.cloud_type == "azure"
    reasons = {
        "rhel_enabled_repos_found": image.rhel_enabled_repos_found,
        "rhel_product_certs_found": image.rhel_product_certs_found,
        "rhel_release_files_found": image.rhel_release_files_found,
        "rhel_signed_packages_found": image.rhel_signed_packages_found,
        "tag": image.rhel_detected_by_tag if is_azure else rhel_tag,
        "cloud_access": image.is_cloud_access,
        "license": image.rhel_detected_by_license,
    }
    return {
        "cloud_type": image.cloud_type,
        "cloud_id": image.cloud_image_id,
        "owner": image.owner_aws_account_id,
        "region": image.region,
        "name": image.name,
        "status": image.status,
        "rhel": any(reasons.values()),
        "rhel_version": image.rhel_version,
        "architecture": image.architecture,
        "marketplace": image.is_marketplace,
        "cloud_access": image.is_cloud_access,
        "usage_operation": image.usage_operation,
        "rhel_reason": [reason for reason, holds in reasons.items() if holds],
        "openshift": image.openshift_detected if is_azure else openshift,
        "role": image.role,
        "sla": image.sla,
        "usage": image.usage,
    }


def instance_values(user, instance) -> dict:
    image = instance.machine_image
    known = image_values(user, image) if image else {}
    codes = instance.product_codes
    if codes is None:
        codes = (image.product_codes if image else None) or []
    return {
        "account": instance.cloud_account_id,
        "cloud_type": instance.cloud_type,
        "cloud_id": instance.cloud_instance_id,
        "region": instance.region,
        "instance_type": instance.instance_type,
        "image": instance.machine_image_id,
        "status": instance.power_state or "unknown",
        "usage_operation": instance.usage_operation or known.get("usage_operation"),
        "product_code": [code["ProductCodeId"] for code in codes],
        "created_at": render_instant(instance.created_at),
        "finding": sorted(instance.billing_findings.values_list("kind", flat=True)),
        "name": known.get("name"),
        **{
            name: known.get(name)
            for name in ("rhel", "rhel_version", "architecture", "openshift", "role", "sla")
        },
        "usage": known.get("usage"),
    }


EMPTY_IS_UNKNOWN = {"architecture", "role", "sla", "usage"}


def texts_of(value) -> list[str]:
    """How the values of a row are written in a query."""
    values = value if isinstance(value, list) else [value]
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in values]


def is_equal(name: str, value, wanted: list[str]) -> bool:
    if value is None:
        return name in EMPTY_IS_UNKNOWN and "" in wanted
    if name == "cloud_id":
        return value.lower() in [one.lower() for one in wanted]
    return bool(set(texts_of(value)) & set(wanted))


def is_within(value, wanted: list[str]) -> bool:
    if value is None:
        return False
    return any(one.lower() in text.lower() for one in wanted for text in texts_of(value))


def passes(values: dict, query: dict[str, list[str]]) -> bool:
    for parameter, wanted in query.items():
        verb, _, field = parameter.removesuffix("]").partition("[")
        if verb == "order_by":
            continue
        if field == "search":
            holds = is_within(values["cloud_id"], wanted) or is_within(values["name"], wanted)
        elif field.startswith("contains:"):
            holds = is_within(values[field.removeprefix("contains:")], wanted)
        else:
            holds = is_equal(field, values[field], wanted) is (verb == "filter")
        if not holds:
            return False
    return True


def in_order(rows: list[tuple[int, dict]], query: dict[str, list[str]]) -> list[int]:
    """Sort ids that are in the route's own order; rows without a value last, or first."""
    ordered = next((name for name in query if name.startswith("order_by[")), None)
    if ordered:
        field = ordered[len("order_by[") : -1]

        def value(row):
            found = row[1][field]
            return (found[0] if found else None) if isinstance(found, list) else found

        is_descending = query[ordered] == ["desc"]
        known = [row for row in rows if value(row) is not None]
        unknown = [row for row in rows if value(row) is None]
        known.sort(key=value, reverse=is_descending)
        rows = unknown + known if is_descending else known + unknown
    return [id for id, _ in rows]


def url_of(path: str, query: dict[str, list[str]]) -> str:
    encoded = {
        name: ",".join(one.replace(",", "%2C") for one in wanted) for name, wanted in query.items()
    }
    return f"{path}?{urlencode(encoded)}"


def queries(brackets, rows: list[dict]) -> st.SearchStrategy:
    """Queries about values that there are, and a few others."""
    fields = {field.name: field for field in brackets.fields if field.name in rows[0]}
    known = {
        name: sorted(
            {text for row in rows if row[name] is not None for text in texts_of(row[name])}
        )
        for name in fields
    }
    closed = {"status", "cloud_type", "rhel_reason", "finding"}

    def values(name):
        others = [] if fields[name].read.__class__.__name__ == "OneOf" else ["nothing like it"]
        if name in ("account", "image"):
            others = ["999999999"]
        if not fields[name].has_text or name in closed:
            others = []
        if name in EMPTY_IS_UNKNOWN:
            others.append("")
        return st.lists(st.sampled_from(known[name] + others), min_size=1, max_size=3)

    def parts(name):
        texts = known[name] or ["x"]
        part = st.sampled_from(texts).flatmap(
            lambda text: st.tuples(st.integers(0, len(text)), st.integers(1, 4)).map(
                lambda place: text[place[0] : place[0] + place[1]]
            )
        )
        return st.lists(part.filter(bool), min_size=1, max_size=2)

    usable = [name for name in fields if known[name]]
    texts = [name for name in usable if fields[name].has_text]
    searched = [row[name] for row in rows for name in ("cloud_id", "name") if row[name]]
    search = st.sampled_from(searched).map(lambda text: [text[1:6].swapcase()])
    one = st.one_of(
        st.sampled_from(usable).flatmap(lambda n: st.tuples(st.just(f"filter[{n}]"), values(n))),
        st.sampled_from(usable).flatmap(lambda n: st.tuples(st.just(f"exclude[{n}]"), values(n))),
        st.sampled_from(texts).flatmap(
            lambda n: st.tuples(st.just(f"filter[contains:{n}]"), parts(n))
        ),
        st.tuples(st.just("filter[search]"), search),
    )
    order = st.sampled_from(list(fields)).flatmap(
        lambda n: st.tuples(st.just(f"order_by[{n}]"), st.sampled_from([["asc"], ["desc"]]))
    )
    return st.tuples(st.lists(one, max_size=3), st.lists(order, max_size=1)).map(
        lambda drawn: dict(drawn[0] + drawn[1])
    )


ANY_NUMBER = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def test_1_instances_are_those_that_plain_python_finds(as_a, environment):
    """Acceptance 1: each filter against a brute-force filter over the whole list."""
    instances = Instance.objects.filter(cloud_account__user=environment).order_by(
        "created_at", "id"
    )
    rows = [(one.id, instance_values(environment, one)) for one in instances]

    @ANY_NUMBER
    @given(queries(INSTANCE_BRACKETS, [row for _, row in rows]))
    def check(query):
        expected = in_order([row for row in rows if passes(row[1], query)], query)
        path = url_of("/instances/", query | {"limit": ["100"]})
        assert everything(as_a, path, "instance_id") == expected

    check()


def test_1_images_are_those_that_plain_python_finds(as_a, environment):
    """Acceptance 1, of images."""
    images = MachineImage.objects.filter(instances__cloud_account__user=environment).distinct()
    rows = [(one.id, image_values(environment, one)) for one in images.order_by("id")]

    @ANY_NUMBER
    @given(queries(IMAGE_BRACKETS, [row for _, row in rows]))
    def check(query):
        expected = in_order([row for row in rows if passes(row[1], query)], query)
        path = url_of("/images/", query | {"limit": ["100"]})
        assert everything(as_a, path, "image_id") == expected

    check()


def test_2_brackets_and_running_since(as_a, environment):
    """Acceptance 2: the combination with the plain parameters."""
    since = CREATED + timedelta(days=2)
    running = set(everything(as_a, f"/instances/?running_since={since:%Y-%m-%d}", "instance_id"))
    eastern = set(everything(as_a, "/instances/?filter[region]=us-east-1", "instance_id"))
    both = f"/instances/?running_since={since:%Y-%m-%d}&filter[region]=us-east-1"
    assert set(everything(as_a, both, "instance_id")) == running & eastern
    assert running & eastern
    account = environment.cloud_accounts.first().id
    assert set(everything(as_a, f"{both}&cloud_account_id={account}", "instance_id")) == {
        id for id in running & eastern if Instance.objects.get(id=id).cloud_account_id == account
    }


def test_2_errors_of_both_kinds_are_told_together(as_a, environment):
    answer = as_a.get("/instances/?running_since=x&filter[foo]=1&filter[rhel]=perhaps")
    assert answer.status_code == 400
    assert answer.json() == {
        "running_since": ["Enter a valid date/time."],
        "filter[foo]": ["Unknown filter."],
        "filter[rhel]": ["Select a valid choice. perhaps is not one of the available choices."],
    }


@pytest.mark.parametrize(
    ("part", "expected"),
    [("_b%", {"a_b%c"}), ("a_b", {"a_b%c"}), ("%", {"a_b%c"}), ("A-B", {"a-b-c"}), ("\\", set())],
)
def test_3_percent_and_underscore_mean_themselves(as_a, environment, part, expected):
    """Acceptance 3."""
    ids = everything(as_a, f"/instances/?filter[contains:region]={quote(part)}", "instance_id")
    assert set(Instance.objects.filter(id__in=ids).values_list("region", flat=True)) == expected


def test_4_without_brackets_the_lists_are_what_they_were(as_a, environment):
    """Acceptance 4: the members and the statements are those of before; see test_representation."""
    for path in ("/instances/", "/images/"):
        body = as_a.get(path).json()
        assert body["meta"].keys() == {"count"}
        assert "state" not in body["data"][0]
        same = as_a.get(f"{path}?order_by=region&filter=x&search=abc&group_by[region]=*").json()
        assert same["data"] == body["data"]


def test_5_pages_keep_their_order_while_rows_are_added(as_a, environment):
    """Acceptance 5: equal values are in the contract's order, so that later rows come later."""
    path = "/instances/?filter[region]=us-east-1&order_by[region]=desc&limit=4"
    whole = everything(as_a, path, "instance_id")
    seen: list[int] = []
    link = path
    for _ in range(3):
        body = as_a.get(link).json()
        seen += [row["instance_id"] for row in body["data"]]
        link = body["links"]["next"].partition("/v2")[2]
        factories.make_instance(account=environment.cloud_accounts.first(), region="us-east-1")
    assert seen == whole[:12]


def test_links_keep_brackets(as_a, environment):
    body = as_a.get("/instances/?filter[region]=us-east-1,a_b%25c&limit=1&include=state").json()
    assert body["links"]["next"].endswith(
        "?filter%5Bregion%5D=us-east-1%2Ca_b%25c&include=state&limit=1&offset=1"
    )
    assert as_a.get(body["links"]["next"].partition("/v2")[2]).json()["data"] != body["data"]


texts = st.text(st.characters(exclude_characters="\r\n"), max_size=12)
names = st.one_of(
    texts,
    st.builds(
        "{}[{}{}{}".format,
        st.sampled_from(["filter", "exclude", "order_by", "group_by"]),
        st.sampled_from(["", "contains:"]),
        st.sampled_from([*{f.name for f in (*INSTANCE_BRACKETS.fields, *IMAGE_BRACKETS.fields)}])
        | st.just("search")
        | texts,
        st.sampled_from(["]", "]", "]", "", "]]"]),
    ),
    st.sampled_from(["include", "limit", "offset", "running_since"]),
)
VALUES = ["asc", "desc", "true", "1", "9" * 30, "running", "%", "%2C", "aws", "state,facets", "\\"]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(
    max_examples=FUZZED_QUERIES // 2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)
@given(query=st.dictionaries(names, st.sampled_from(VALUES) | texts, min_size=1, max_size=4))
def test_6_no_query_makes_a_server_error(as_a, environment, query):
    """Acceptance 6: fuzzed queries, half of them to each list."""
    text = urlencode(query, errors="surrogatepass")
    for path in ("/instances/", "/images/"):
        answer = as_a.get(f"{path}?{text}")
        assert answer.status_code in (200, 400, 404), (path, text)


def test_7_details_ignore_brackets(as_a, environment):
    """Acceptance 7."""
    for path, key in (("/instances/", "instance_id"), ("/images/", "image_id")):
        row = as_a.get(path).json()["data"][0]
        query = "filter[region]=nowhere&filter[foo]=1&include=state,facets"
        answer = as_a.get(f"{path}{row[key]}/?{query}")
        assert (answer.status_code, answer.json()) == (200, row)


def test_state(as_a, environment):
    body = as_a.get("/instances/?include=state&limit=100").json()
    plain = as_a.get("/instances/?limit=100").json()["data"]
    states = {row["instance_id"]: row.pop("state") for row in body["data"]}
    assert body["data"] == plain
    for instance in Instance.objects.filter(cloud_account__user=environment):
        values = instance_values(environment, instance)
        state = states[instance.id]
        assert state.pop("billing") in ("own", "cloud", "unknown")
        assert state == {
            "status": values["status"],
            "since": None if values["status"] == "unknown" else render_instant(CREATED),
            "instance_type": values["instance_type"],
            "vcpu": 2
            if values["instance_type"] == "t3.large" and values["cloud_type"] == "aws"
            else None,
            "rhel": values["rhel"],
            "rhel_version": values["rhel_version"],
            "usage_operation": values["usage_operation"],
        }


def test_the_state_has_the_cpu_options_of_the_instance_and_its_billing(as_a, customer_a):
    instance = factories.make_instance(
        account=factories.make_aws_account(user=customer_a), image=factories.make_rhel_image()
    )
    Instance.objects.update(usage_operation="RunInstances:0010", instance_type="m5.large")
    for at, cores in (("2023-01-01", 4), ("2023-01-02", 1)):
        instance.facts.create(observed_at=utc(at), source="x", cpu_cores=cores, threads_per_core=1)
    (row,) = as_a.get("/instances/?include=state").json()["data"]
    assert (row["state"]["vcpu"], row["state"]["billing"]) == (1, "cloud")


def test_billing_is_a_filter(as_a, environment):
    states = as_a.get("/instances/?include=state&limit=100").json()["data"]
    by_class: dict[str, list[int]] = {"own": [], "cloud": [], "unknown": []}
    for row in states:
        by_class[row["state"]["billing"]].append(row["instance_id"])
    for name, ids in by_class.items():
        assert ids
        assert everything(as_a, f"/instances/?filter[billing]={name}", "instance_id") == ids


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/instances/", ""),
        ("/instances/", "&filter[region]=us-east-1,a_b%25c&filter[rhel]=true"),
        ("/instances/", "&running_since=2023-03-02"),
        ("/instances/", "&filter[region]=nowhere"),
        ("/images/", ""),
        ("/images/", "&filter[rhel]=true"),
    ],
)
def test_facets(as_a, environment, path, query):
    body = as_a.get(f"{path}?include=facets&limit=100{query}").json()
    key, model, values = (
        ("instance_id", Instance, instance_values)
        if path == "/instances/"
        else ("image_id", MachineImage, image_values)
    )
    rows = [values(environment, model.objects.get(id=row[key])) for row in body["data"]]
    names = {"/instances/": {"region", "instance_type", "status", "rhel_version"}}
    facets = body["meta"]["facets"]
    assert facets.keys() == names.get(path, {"region", "status", "rhel_version"})
    for name, counted in facets.items():
        expected = Counter(row[name] for row in rows)
        assert {one["value"]: one["count"] for one in counted} == expected
        numbers = [one["count"] for one in counted]
        assert numbers == sorted(numbers, reverse=True)


def test_facets_have_twenty_values_at_most(as_a, customer_a):
    account = factories.make_aws_account(user=customer_a)
    for number in range(25):
        factories.make_instance(account=account, region=f"region-{number:02}")
    factories.make_instance(account=account, region="region-24")
    region = as_a.get("/instances/?include=facets").json()["meta"]["facets"]["region"]
    assert [one["value"] for one in region] == [
        "region-24",
        *(f"region-{number:02}" for number in range(19)),
    ]


def test_tenants_never_meet(environment, customer_b):
    as_b = caller_for(customer_b)
    for path, key in (("/instances/", "instance_id"), ("/images/", "image_id")):
        own = set(everything(as_b, path, key))
        for query in (
            "exclude[region]=nowhere",
            "order_by[region]=desc",
            "filter[cloud_type]=aws,azure",
            "filter[contains:cloud_id]=a,i,e,s",
        ):
            assert set(everything(as_b, f"{path}?{query}&limit=100", key)) <= own
    foreign = Instance.objects.filter(cloud_account__user=environment).first()
    for query in (
        f"filter[cloud_id]={quote(foreign.cloud_instance_id)}",
        f"filter[account]={foreign.cloud_account_id}",
        f"filter[search]={quote(foreign.cloud_instance_id)}",
    ):
        body = as_b.get(f"/instances/?{query}&include=state,facets").json()
        assert (body["meta"]["count"], body["data"]) == (0, [])
        assert not any(body["meta"]["facets"].values())


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("/instances/?filter[rhel]=true&include=state,facets&order_by[role]=asc", 4),
        ("/instances/?filter[billing]=own&limit=100", 3),
        ("/images/?filter[rhel]=true&include=facets", 3),
    ],
)
def test_statements(as_a, environment, path, most):
    """Five at most; the customer's own is one of them."""
    with CaptureQueriesContext(connection) as captured:
        assert as_a.get(path).status_code == 200
    assert len(captured) == most
