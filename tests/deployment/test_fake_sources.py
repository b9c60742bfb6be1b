"""The fake sources service speaks as the real one does (spec 03 §4) and misbehaves on demand."""

import pytest
import requests

TENANT = {"account_number": "1234567", "org_id": "7654321"}
HEADERS = {
    "x-rh-sources-account-number": "1234567",
    "x-rh-sources-org-id": "7654321",
    "x-rh-sources-psk": "test",
}
PUBLIC = "/api/sources/v3.0"


@pytest.fixture
def get(sources_api):
    def get(path, *, headers=None, timeout=10.0, **query):
        return requests.get(
            sources_api.base_url + path,
            params=query,
            headers=HEADERS if headers is None else headers,
            timeout=timeout,
        )

    return get


@pytest.fixture
def customer(sources_api):
    sources_api.add_customer_application(
        authentication_id=11,
        application_id=22,
        source_id=33,
        username="arn:aws:iam::111122223333:role/cloudigrade",
        tenant=TENANT,
    )


@pytest.mark.usefixtures("customer")
class TestRecords:
    def test_an_authentication(self, get):
        assert get("/internal/v1.0/authentications/11").json() == {
            "id": "11",
            "authtype": "cloud-meter-arn",
            "resource_type": "Application",
            "resource_id": "22",
            "username": "arn:aws:iam::111122223333:role/cloudigrade",
        }

    def test_a_password_is_shown_only_when_it_is_asked_for(self, get, sources_api):
        sources_api.add("authentications", {"id": "1", "password": "p"})
        path = "/internal/v1.0/authentications/1"
        assert get(path).json() == {"id": "1"}
        exposed = get(path, **{"expose_encrypted_attribute[]": "password"})
        assert exposed.json() == {"id": "1", "password": "p"}

    def test_an_application(self, get):
        assert get(f"{PUBLIC}/applications/22").json() == {
            "id": "22",
            "application_type_id": "5",
            "source_id": "33",
        }

    def test_application_authentications_are_filtered(self, get, sources_api):
        sources_api.add("application_authentications", {"id": "1", "authentication_id": "12"})
        found = get(
            f"{PUBLIC}/application_authentications", **{"filter[authentication_id]": "11"}
        ).json()
        assert found["meta"]["count"] == 1
        assert found["data"] == [{"id": "11", "application_id": "22", "authentication_id": "11"}]

    def test_the_application_type_is_found_by_its_name(self, get):
        name = "/insights/platform/cloud-meter"
        found = get(f"{PUBLIC}/application_types", **{"filter[name]": name}).json()
        assert [item["id"] for item in found["data"]] == ["5"]
        nothing = get(f"{PUBLIC}/application_types", **{"filter[name]": "other"}).json()
        assert nothing["data"] == []

    def test_lists_have_pages(self, get, sources_api):
        sources_api.add("sources", *({"id": str(number)} for number in range(100, 205)))
        first = get(f"{PUBLIC}/sources").json()
        assert (len(first["data"]), first["meta"]["count"]) == (100, 106)
        second = get(first["links"]["next"]).json()
        assert len(second["data"]) == 6
        assert "next" not in second["links"]

    def test_what_is_removed_is_gone(self, get, sources_api):
        assert get(f"{PUBLIC}/sources/33").ok
        sources_api.remove("sources", 33)
        assert get(f"{PUBLIC}/sources/33").status_code == 404

    def test_another_tenant_sees_nothing(self, get):
        foreign = HEADERS | {"x-rh-sources-org-id": "another"}
        assert get(f"{PUBLIC}/sources/33", headers=foreign).status_code == 404
        assert get(f"{PUBLIC}/sources", headers={}).json()["data"] == []


def test_a_wrong_psk_is_refused(get, sources_api):
    sources_api.require_psk("secret")
    assert get(f"{PUBLIC}/sources").status_code == 401
    assert get(f"{PUBLIC}/sources", headers={"x-rh-sources-psk": "secret"}).ok


class TestFaults:
    PATH = f"{PUBLIC}/sources"

    def test_a_status_for_some_times(self, get, sources_api):
        sources_api.fail(self.PATH, status=503, body="later", times=2)
        answers = [get(self.PATH) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [503, 503, 200]
        assert answers[0].text == "later"

    def test_a_body_that_is_not_json(self, get, sources_api):
        sources_api.fail(self.PATH, body="<html>")
        answer = get(self.PATH)
        assert answer.status_code == 200
        with pytest.raises(requests.JSONDecodeError):
            answer.json()

    def test_hanging(self, get, sources_api):
        sources_api.fail(self.PATH, hang=30)
        with pytest.raises(requests.ReadTimeout):
            get(self.PATH, timeout=0.2)

    def test_other_paths_are_well(self, get, sources_api):
        sources_api.fail(self.PATH, status=500)
        assert get(f"{PUBLIC}/applications").ok


def test_requests_are_recorded_in_order_with_their_headers(get, sources_api):
    get(f"{PUBLIC}/sources/1")
    get(f"{PUBLIC}/application_types", headers={"x-rh-sources-psk": "test"}, limit="1")
    first, second = sources_api.received()
    assert first == {"path": f"{PUBLIC}/sources/1", "query": {}, "headers": HEADERS}
    assert second["query"] == {"limit": ["1"]}
    assert second["headers"] == {"x-rh-sources-psk": "test"}
