"""What the sources service knows and says of one application (spec 03 §16)."""

from api.sources.messages import CREATE

ARN = "arn:aws:iam::123456789012:role/meter"
SUBSCRIPTION = "6d2fe1f4-3a51-4d3c-a4e2-25c4bd1f0d4e"
ACCOUNT_HEADER = ["x-rh-sources-account-number", "1701"]
ORG_HEADER = ["x-rh-sources-org-id", "3340851"]
HEADERS = [["event_type", CREATE], ["encoding", "json"], ACCOUNT_HEADER, ORG_HEADER]
BODY = {"id": 31, "application_id": 11, "authentication_id": 22}
AWS_TASK = "api.clouds.aws.tasks.configure_customer_aws_and_create_cloud_account"
AZURE_TASK = "api.clouds.azure.tasks.check_azure_subscription_and_create_cloud_account"
APPLICATION = {"id": "11", "application_type_id": "5", "source_id": "9"}
AUTHENTICATION = {
    "id": "22",
    "authtype": "cloud-meter-arn",
    "resource_type": "Application",
    "resource_id": "11",
    "username": ARN,
}
OUR_TYPE = {"id": "5", "name": "/insights/platform/cloud-meter"}
