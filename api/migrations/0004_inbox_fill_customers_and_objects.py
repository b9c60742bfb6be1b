"""Fill the columns that ``0003`` has added, for messages that were stored before (decision 40).

It is apart from ``0003`` so that nobody waits for it: it locks no more than the rows.
"""

from django.db import migrations

# What messages that were stored before say of their objects. Those of the queue's unfinished ones
# tie account number and org id together, too.
_FILL_OBJECTS = """
UPDATE api_inboxmessage message
SET application_id = CASE WHEN found.application ~ '^[0-9]{1,18}$'
                          THEN found.application::bigint END,
    authentication_id = CASE WHEN found.authentication ~ '^[0-9]{1,18}$'
                             THEN found.authentication::bigint END
FROM (
    SELECT id,
           CASE WHEN event_type LIKE 'Application.%' THEN value ->> 'id'
                WHEN event_type LIKE 'ApplicationAuthentication.%' THEN value ->> 'application_id'
                END AS application,
           CASE WHEN event_type = 'Authentication.update' THEN value ->> 'id'
                WHEN event_type LIKE 'ApplicationAuthentication.%'
                THEN value ->> 'authentication_id' END AS authentication
    FROM api_inboxmessage
) found
WHERE message.id = found.id
"""

_FILL_CUSTOMERS = """
UPDATE api_inboxmessage message
SET account_number = found.account_number, org_id = found.org_id
FROM (
    SELECT id,
           (SELECT pair ->> 1 FROM jsonb_array_elements(headers) pair
            WHERE pair ->> 0 = 'x-rh-sources-account-number' LIMIT 1) AS account_number,
           (SELECT pair ->> 1 FROM jsonb_array_elements(headers) pair
            WHERE pair ->> 0 = 'x-rh-sources-org-id' LIMIT 1) AS org_id
    FROM api_inboxmessage
    WHERE state IN ('waiting', 'working', 'handed_on', 'failed')
      AND jsonb_typeof(headers) = 'array'
) found
WHERE message.id = found.id
  AND length(found.account_number) BETWEEN 1 AND 150 AND length(found.org_id) BETWEEN 1 AND 150
"""


class Migration(migrations.Migration):

    dependencies = [
        ("api", "0003_inbox_customers_and_objects"),
    ]

    operations = [
        migrations.RunSQL(_FILL_OBJECTS, migrations.RunSQL.noop),
        migrations.RunSQL(_FILL_CUSTOMERS, migrations.RunSQL.noop),
    ]
