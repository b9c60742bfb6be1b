"""Run the fake AWS: ``python -m deployment.local.fake_aws PORT``."""

import importlib
import os
import sys

from deployment.local.ports import LOOPBACK

_EXTENSIONS = ("blocks", "control", "images", "permissions", "snapshots", "trails")


def main(port: str) -> None:
    """Extend moto and serve until the process is stopped."""
    # moto reads its settings when it is imported. Its thousands of default images cost seconds in
    # each account and region, and would be mistaken for the customer's own.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    for extension in _EXTENSIONS:
        importlib.import_module(f"deployment.local.fake_aws.{extension}")
    server = importlib.import_module("moto.server")
    server.main(["-H", LOOPBACK, "-p", port])


if __name__ == "__main__":
    main(sys.argv[1])
