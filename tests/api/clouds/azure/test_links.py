"""Which URLs are followed (faults 5 and 14; decision 51)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.clouds.azure.errors import AzureBusyError
from api.clouds.azure.links import own_url

BASE = "https://management.azure.com/subscriptions/s/list?api-version=1"


@pytest.fixture(autouse=True)
def public_cloud(settings):
    settings.AZURE_ARM_BASE_URL = "https://management.azure.com"


@pytest.mark.parametrize(
    ("link", "url"),
    [
        ("https://management.azure.com/next?$skiptoken=1", None),
        ("https://MANAGEMENT.azure.com:443/next", None),
        ("/next?$skiptoken=1", "https://management.azure.com/next?$skiptoken=1"),
        ("?$skiptoken=1", "https://management.azure.com/subscriptions/s/list?$skiptoken=1"),
        ("//management.azure.com/next", "https://management.azure.com/next"),
        ("https://management.azure.com/next#@evil.example", None),
        ("https://management.azure.com/@evil.example/a b", None),
    ],
)
def test_the_own_host(link, url):
    assert own_url(link, base=BASE) == (url or link)


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example/next",
        "//evil.example/next",
        "http://management.azure.com/next",
        "https://management.azure.com:8443/next",
        "https://management.azure.com.evil.example/next",
        "https://evil.management.azure.com/next",
        "https://management.azure.com@evil.example/next",
        "https://somebody:secret@management.azure.com/next",
        "https://@management.azure.com/next",
        "https://management.azure.com\\@evil.example/next",
        "\\\\evil.example\\next",
        "https:/\\evil.example/next",
        "https://management.azure.com\t.evil.example/next",
        "ht\ntps://evil.example",
        " https://evil.example",
        "https://management.azure.com%2eevil.example/",
        "https://\uff4danagement.azure.com/",
        "https://[::1/",
        "https://management.azure.com:port/",
        "https://management.azure.com:99999/",
        "file:///etc/passwd",
        "javascript:alert(1)",
    ],
)
def test_another_host(link):
    with pytest.raises(AzureBusyError) as raised:
        own_url(link, base=BASE)
    assert raised.value.code in {"ForeignLink", "MalformedLink"}


def test_another_port_of_ones_own_azure(settings):
    settings.AZURE_ARM_BASE_URL = "https://127.0.0.1:8443/arm"
    assert own_url("https://127.0.0.1:8443/next", base=BASE)
    with pytest.raises(AzureBusyError):
        own_url("https://127.0.0.1/next", base=BASE)


@given(st.text(alphabet="ahmnge.:/\\@#?%[] \t\n\0tps0123", max_size=60))
def test_any_text_is_followed_to_the_own_host_or_not_at_all(link):
    try:
        url = own_url(link, base=BASE)
    except AzureBusyError:
        return
    assert url.lower().startswith("https://management.azure.com")
    assert url[len("https://management.azure.com") :][:1] in {"", "/", "?", "#", ":"}
