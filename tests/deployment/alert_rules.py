"""The alert rules, and the metrics that there are."""

import re

import yaml

from deployment.local.service import REPOSITORY

RULES = REPOSITORY / "deployment" / "alerts" / "rules.yaml"


OF_DJANGO_PROMETHEUS = {
    "django_http_responses_total_by_status_total",
    "django_http_requests_latency_seconds_by_view_method_bucket",
}


def groups():
    return yaml.safe_load(RULES.read_text())["spec"]["groups"]


def rules():
    [group] = groups()
    return group["rules"]


BY_NAME = {rule["alert"]: rule for rule in rules()}


def existing_metrics():
    """The names of metrics as the source has them, and of what counters and histograms tell."""
    text = "".join(
        file.read_text()
        for folder in ("api", "util")
        for file in (REPOSITORY / folder).rglob("*.py")
    )
    families = re.findall(r'_(?:family|single)\(\s*"(\w+)"', text)
    counted = re.findall(r'(?:counter|histogram)\(\s*f?"(?:\{PREFIX\}|cloudigrade)_(\w+)"', text)
    names = {f"cloudigrade_{name}" for name in families} | set(
        re.findall(r'"(cloudigrade_\w+)"', text)
    )
    for name in counted:
        for prefix in ("cloudigrade_", "cloudigrade_cloudtrail_"):
            names |= {f"{prefix}{name}{suffix}" for suffix in ("_total", "_bucket")}
    return names | OF_DJANGO_PROMETHEUS
