"""HTTP on this machine."""

import requests


def local_session() -> requests.Session:
    """Return a session that leaves proxies of the surrounding network aside."""
    session = requests.Session()
    session.trust_env = False
    return session


def without_proxies(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that keep other programs from asking a proxy for this machine."""
    hosts = {"127.0.0.1", "localhost"}
    for name in ("NO_PROXY", "no_proxy"):
        hosts |= {host.strip() for host in environment.get(name, "").split(",") if host.strip()}
    value = ",".join(sorted(hosts))
    return {"NO_PROXY": value, "no_proxy": value}
