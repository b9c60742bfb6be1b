"""The billing class of a customer's instances at a time (spec 11 §2).

A run is divided where the cloud says something else of the instance. EC2 changes what it charges
for only while an instance is stopped, so what it says first in the middle of a run holds from the
beginning of that run. Azure changes a licence while the machine is on: that holds from the poll
that saw it. Before the first thing known of an instance, that is taken to have been so.
"""

from typing import Final

from api.billing.classes import billing_class
from api.images.facts import RHEL_FOR_EVERYBODY

STRETCHES: Final = f"""
billed_account AS MATERIALIZED (SELECT id FROM api_cloudaccount WHERE user_id = %(user)s),
billed_run AS MATERIALIZED (
    SELECT run.id, run.instance_id, run.machine_image_id, run.cloud_account_id, run.start_time,
           run.end_time, run.instance_type, run.vcpu, run.cpus, run.resizes, account.cloud_type
    FROM api_run run
    JOIN api_cloudaccount account ON account.id = run.cloud_account_id
    WHERE run.cloud_account_id = ANY(ARRAY(SELECT id FROM billed_account))
      AND (run.end_time >= %(begin)s OR run.end_time IS NULL) AND run.start_time <= %(limit)s
),
billed_image AS MATERIALIZED (
    SELECT image.id, image.cloud_type, image.usage_operation, image.product_codes,
           image.is_marketplace, image.is_cloud_access, image.publisher, image.offer,
           {RHEL_FOR_EVERYBODY} OR EXISTS (
               SELECT FROM api_imagetags tags
               WHERE tags.machine_image_id = image.id AND tags.rhel
                 AND tags.cloud_account_id = ANY(ARRAY(SELECT id FROM billed_account))
           ) AS counted
    FROM api_machineimage image
    WHERE image.id IN (SELECT machine_image_id FROM billed_run)
),
billed_fact AS (
    SELECT fact.instance_id, fact.id, fact.observed_at, fact.product_codes, fact.licenses,
           fact.image,
           -- A launch does not tell it, the first describe does: it was so from the beginning.
           coalesce(
               fact.usage_operation,
               min(fact.usage_operation) FILTER (WHERE fact.is_first_told)
                   OVER (PARTITION BY fact.instance_id)
           ) AS usage_operation,
           lag(fact.observed_at) OVER of_instance AS before,
           lead(fact.observed_at) OVER of_instance AS after
    FROM (
        SELECT told.*, told.usage_operation IS NOT NULL AND 1 = row_number() OVER (
            PARTITION BY told.instance_id, told.usage_operation IS NULL
            ORDER BY told.observed_at, told.id
        ) AS is_first_told
        FROM api_instancefact told
        WHERE told.instance_id IN (SELECT instance_id FROM billed_run)
    ) fact
    WINDOW of_instance AS (PARTITION BY fact.instance_id ORDER BY fact.observed_at, fact.id)
),
billed_part AS (
    SELECT part.*, lead(part.since) OVER (PARTITION BY part.run_id ORDER BY part.since, part.place)
               AS next_since
    FROM (
        SELECT run.id AS run_id, run.instance_id, run.machine_image_id, run.cloud_account_id,
               run.cloud_type, run.end_time, run.instance_type, run.vcpu, run.cpus, run.resizes,
               fact.observed_at, fact.usage_operation, fact.product_codes, fact.licenses,
               fact.image,
               row_number() OVER (PARTITION BY run.id ORDER BY fact.observed_at, fact.id) AS place,
               CASE WHEN fact.before IS NULL
                      OR run.cloud_type = 'aws' AND fact.before < run.start_time
                    THEN run.start_time
                    ELSE greatest(fact.observed_at, run.start_time) END AS since
        FROM billed_run run
        LEFT JOIN billed_fact fact ON fact.instance_id = run.instance_id
             AND (fact.before IS NULL OR run.end_time IS NULL OR fact.observed_at < run.end_time)
             AND (fact.after IS NULL OR fact.after > run.start_time)
    ) part
),
billed AS MATERIALIZED (
    SELECT fact.run_id, fact.instance_id, fact.machine_image_id, fact.cloud_account_id,
           fact.cloud_type, fact.since, fact.end_time,
           coalesce(fact.next_since, fact.end_time) AS until,
           fact.instance_type, fact.vcpu, fact.cpus, fact.resizes, fact.observed_at,
           fact.usage_operation, fact.licenses, fact.product_codes,
           coalesce(image.counted, false) AS counted,
           {billing_class(cloud_type="fact.cloud_type", is_rhel="coalesce(image.counted, false)")}
               AS billing
    FROM billed_part fact
    LEFT JOIN billed_image image ON image.id = fact.machine_image_id
    WHERE fact.next_since IS NULL OR fact.next_since > fact.since
)
"""  # noqa: S608 - made of constants
"""SQL of common table expressions; ``billed`` has the stretches of the customer's runs.

Parameters: ``user``, and ``begin`` and ``limit``, both included: runs that touch that time are
read, as a whole. ``until`` is null where a run goes on. Each run has one stretch at least. Runs of
images that are not RHEL, or not known, are there too: ``counted`` tells them apart.
"""
