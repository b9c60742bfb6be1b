"""Tasks that look for what is wrong in how RHEL is paid (spec 11 §2)."""

from api.billing import summary
from util.tasks import LONG, task


@task("api.tasks.summarize_billing_findings", limit=LONG)
def summarize_billing_findings() -> int:
    """Bring the summaries of all customers up to date; return how many findings there are."""
    return summary.summarize_all()
