"""What metering tells Prometheus of its work (spec 07 §15)."""

from util.metrics import counter, histogram

RUNS = counter("cloudigrade_metering_runs", "Runs written", ("change",))
DAYS = counter("cloudigrade_metering_usage_rows", "User-days calculated", ("outcome",))
SECONDS = histogram("cloudigrade_metering_seconds", "Duration of a calculation", ("of",))
