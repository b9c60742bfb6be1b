"""The part of the story in which a number is explained, down to the log records (spec 10 §1)."""

from datetime import UTC, datetime

from deployment.local.demo.customers import Customer
from deployment.local.demo.entry_points import INTERNAL, Api, Records, StoryError, require


def explain_today(api: Api, records: Records, customer: Customer) -> list[str]:
    """Return lines that explain a customer's number of today, down to the log records.

    Raises StoryError if an event's record is not the one that it names.
    """
    user_id = records.value(
        f"SELECT user_id FROM api_cloudaccount WHERE aws_account_id = '{customer.aws_account_id}'"  # noqa: S608
    )
    today = datetime.now(UTC).date()
    page = api.get(f"{INTERNAL}/explain/", user_id=user_id, date=str(today), limit=100)
    explanation = page["explanation"]
    require(len(page["data"]) == explanation["instances_count"], "a number is not that of its runs")
    lines = [f"{explanation['instances_count']} at once from {explanation['peak_from']}:"]
    for run in page["data"]:
        opened = run["opened_by"]
        reasons = ", ".join(one["reason"] for one in run["image"]["rhel_reasons"])
        lines.append(f"  {run['instance']['cloud_id']} since {run['start_time']}, RHEL: {reasons}")
        lines.append(f"    {opened['origin']} {opened['name']} {opened['source_id']}")
        if source := opened["source"]:
            record = api.get(f"{INTERNAL}/instanceevents/{opened['event_id']}/record/")
            if record["eventID"] != opened["source_id"]:
                raise StoryError(f"event {opened['event_id']} is not from the record it names")
            lines.append(f"    record {source['index']} of {source['key'].rpartition('/')[2]}")
    return lines
