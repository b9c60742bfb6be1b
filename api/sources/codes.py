"""Error codes that customers see in the sources service (spec 03 §8). The texts are a contract."""

import enum

_AWS_ARN = "AWS ARN must be unique, but another cloud account with the same AWS ARN already exists."
_AWS_ACCOUNT = (
    "AWS account ID must be unique, "
    "but another cloud account with the same AWS account ID already exists."
)
_AZURE_SUBSCRIPTION = (
    "Azure subscription ID must be unique, "
    "but another cloud account with the same Azure subscription ID already exists."
)
_SOURCES_FAULT = "This is likely the result of an error in sources-api."


class ErrorCode(enum.Enum):
    """Why cloud metering could not be enabled; the value is the hint for the customer."""

    CG1000 = ""
    CG1001 = _AWS_ARN
    CG1002 = _AWS_ACCOUNT
    CG1004 = "Invalid ARN."
    CG1005 = _AZURE_SUBSCRIPTION
    CG1006 = "Invalid Azure subscription ID."
    CG2000 = f"Required authentication was not found. {_SOURCES_FAULT}"
    CG2001 = (
        "The authentication has unsupported type; "
        f"type must be cloud-meter-arn or lighthouse_subscription_id. {_SOURCES_FAULT}"
    )
    CG2002 = (
        "The authentication's resource has unsupported type; "
        f"type must be Application. {_SOURCES_FAULT}"
    )
    CG2003 = f"Required endpoint resource was not found. {_SOURCES_FAULT}"
    CG2004 = (
        "Authentication did not include required Authentication Token "
        "in either username or password field."
    )
    CG3000 = (
        "Encountered unknown issue with provided credentials. "
        "Please verify provided credentials and try again."
    )
    CG3001 = (
        "You've reached the AWS CloudTrail limit for your account. "
        "Please ensure you have not reached the CloudTrail limit for your account, and try again."
    )
    CG3002 = (
        "An AccessDenied error was received when using the ARN, "
        "suggesting that the AWS role is misconfigured. "
        "Please verify the AWS role and try again."
    )
    CG3003 = (
        "Failed to verify at least one AWS policy action, "
        "suggesting that the policy attached to the role is misconfigured. "
        "Please verify the AWS policy and try again."
    )

    @property
    def message(self) -> str:
        """The text that is sent to the sources service."""
        text = f"Could not enable cloud metering. Error code {self.name}."
        return f"{text} {self.value}" if self.value else text
