"""Run a soak: ``SOAK_MINUTES`` (20), ``SOAK_SEED`` (chosen, and told); ``make soak``.

Returns 0 if all was right at the end, 1 if not, 130 after Ctrl-C.
"""

import os
import random
import shutil
import sys
from pathlib import Path

from tests.soak.deployment import SoakDeployment
from tests.soak.report import Report
from tests.soak.run import Size, Soak

INTERRUPTED = 130
LOGS = Path("build") / "soak-logs"


def main() -> int:
    """Run one soak."""
    minutes = float(os.environ.get("SOAK_MINUTES") or 20)
    seed = int(os.environ.get("SOAK_SEED") or random.randrange(10**6))
    report = Report(seed, minutes)
    print(f"soak of {minutes:g} minutes with SOAK_SEED={seed}", flush=True)
    deployment = None
    soak = None
    try:
        deployment = SoakDeployment(seed)
        soak = Soak(deployment, seed, Size(minutes * 60), report)
        soak.run()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        report.verdict = "broken"
        report.problems.append(f"{type(error).__name__}: {error}")
        raise
    finally:
        if soak:
            soak.stop()
        if deployment:
            if report.verdict != "good":
                keep_logs(deployment)
            deployment.stop()
        report.write()
    return 0 if report.verdict == "good" else 1


def keep_logs(deployment: SoakDeployment) -> None:
    """Copy what the processes said to build/soak-logs."""
    shutil.rmtree(LOGS, ignore_errors=True)
    shutil.copytree(deployment.services.surroundings.folder("logs"), LOGS)


if __name__ == "__main__":
    sys.exit(main())
