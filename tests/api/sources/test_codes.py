"""Texts that customers read (spec 03 §8), spelled out once more."""

from api.sources.codes import ErrorCode

PREFIX = "Could not enable cloud metering. Error code"
HINTS = {
    "CG1000": "",
    "CG1001": " AWS ARN must be unique, but another cloud account with the same AWS ARN already"
    " exists.",
    "CG1002": " AWS account ID must be unique, but another cloud account with the same AWS account"
    " ID already exists.",
    "CG1004": " Invalid ARN.",
    "CG1005": " Azure subscription ID must be unique, but another cloud account with the same Azure"
    " subscription ID already exists.",
    "CG1006": " Invalid Azure subscription ID.",
    "CG2000": " Required authentication was not found. This is likely the result of an error in"
    " sources-api.",
    "CG2001": " The authentication has unsupported type; type must be cloud-meter-arn or"
    " lighthouse_subscription_id. This is likely the result of an error in sources-api.",
    "CG2002": " The authentication's resource has unsupported type; type must be Application. This"
    " is likely the result of an error in sources-api.",
    "CG2003": " Required endpoint resource was not found. This is likely the result of an error in"
    " sources-api.",
    "CG2004": " Authentication did not include required Authentication Token in either username or"
    " password field.",
    "CG3000": " Encountered unknown issue with provided credentials. Please verify provided"
    " credentials and try again.",
    "CG3001": " You've reached the AWS CloudTrail limit for your account. Please ensure you have"
    " not reached the CloudTrail limit for your account, and try again.",
    "CG3002": " An AccessDenied error was received when using the ARN, suggesting that the AWS role"
    " is misconfigured. Please verify the AWS role and try again.",
    "CG3003": " Failed to verify at least one AWS policy action, suggesting that the policy"
    " attached to the role is misconfigured. Please verify the AWS policy and try again.",
}


def test_messages():
    assert {code.name: code.message for code in ErrorCode} == {
        name: f"{PREFIX} {name}.{hint}" for name, hint in HINTS.items()
    }
