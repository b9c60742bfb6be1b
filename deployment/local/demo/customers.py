"""Who plays in the story."""

from dataclasses import dataclass

from deployment.local.aws import role_arn
from deployment.local.demo.entry_points import identity_of

RED_HAT_ACCOUNT = "309956199498"
"""The AWS account that publishes Red Hat's cloud access images."""

CLOUD_ACCESS_NAME = "RHEL-9.4.0_HVM-20240605-x86_64-77-Access2-GP3"


@dataclass(frozen=True, eq=False)
class Customer:
    """One customer with one AWS account, or one Azure subscription."""

    name: str
    ids: dict[str, str]
    authentication_id: int
    application_id: int
    source_id: int
    aws_account_id: str = ""
    subscription_id: str = ""

    @property
    def identity(self) -> str:
        """The header with which the console acts for the customer."""
        return identity_of(**{name.replace("-", "_"): value for name, value in self.ids.items()})

    @property
    def tenant(self) -> dict[str, str]:
        """The ids as the sources service names them in Kafka headers."""
        return self.ids

    @property
    def authtype(self) -> str:
        """How sources calls the way in which the customer lets us in."""
        return "lighthouse_subscription_id" if self.subscription_id else "cloud-meter-arn"

    @property
    def token(self) -> str:
        """The role that the customer made for us, or the subscription that he delegated."""
        return self.subscription_id or role_arn(self.aws_account_id)


ACME = Customer(
    name="Acme",
    ids={"account-number": "1701", "org-id": "3340851"},
    aws_account_id="514321987655",
    authentication_id=22,
    application_id=11,
    source_id=9,
)
GLOBEX = Customer(
    name="Globex",
    ids={"org-id": "7704412"},
    aws_account_id="012345678905",
    authentication_id=23,
    application_id=12,
    source_id=10,
)
HOOLI = Customer(
    name="Hooli",
    ids={"account-number": "5150", "org-id": "8800123"},
    aws_account_id="778899001126",
    authentication_id=25,
    application_id=15,
    source_id=16,
)
INITECH = Customer(
    name="Initech",
    ids={"account-number": "4242", "org-id": "9001"},
    subscription_id="6a1d7c0e-93b4-4c7e-9a53-0c5a3b1f77d2",
    authentication_id=24,
    application_id=13,
    source_id=14,
)
CUSTOMERS = (ACME, GLOBEX)
"""Those in AWS whose instances of today the story is about."""
