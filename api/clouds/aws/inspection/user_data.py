"""What the inspection instance does when it starts (spec 05 §5). Pure, but for the settings."""

import json
import shlex
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText

from django.conf import settings

DEVICE = "/dev/xvdbb"
LOGS = "/var/log/houndigrade"
DEADLINE = 60
"""Minutes after which the machine is switched off, whatever the inspector does."""

_BOUNDARY = "==cloudigrade-inspection=="

_CLOUD_CONFIG = """\
#cloud-config
cloud_final_modules:
- [scripts-user, always]
"""

_SCRIPT = """\
#!/bin/bash
shutdown -h +{deadline}
mkdir -p {logs}
yum install -y amazon-cloudwatch-agent
cat > /opt/aws/amazon-cloudwatch-agent/etc/inspection.json <<'CONFIGURATION'
{agent}
CONFIGURATION
/opt/aws/amazon-cloudwatch-agent/bin/amazon-cloudwatch-agent-ctl -a fetch-config -m ec2 -s \\
  -c file:/opt/aws/amazon-cloudwatch-agent/etc/inspection.json
{run}
sleep 10
shutdown -c
shutdown -h now
"""

_RUN = """\
docker pull {image}
docker run --rm --privileged --mount type=bind,source=/dev,target=/dev \\
  {environment} {image} -c aws -t {ami_id} {device} >> {logs}/inspection.log 2>&1"""

# Instances with NVMe disks have no {device}: there the disk is known by its volume id, which is not
# that of the disk with the root.
_RUN_OURS = """\
device={device}
if [ ! -b "$device" ]; then
  root=$(lsblk -no PKNAME "$(findmnt -no SOURCE /)")
  for link in /dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol*; do
    case "$link" in *-part*) continue ;; esac
    disk=$(readlink -f "$link")
    [ "$disk" = "/dev/$root" ] || device=$disk
  done
fi
docker pull {image}
docker run --rm --read-only --tmpfs /tmp:size=1g --cap-drop ALL \\
  --security-opt no-new-privileges --device "$device:{device}:r" \\
  --group-add "$(stat -Lc %g "$device")" \\
  {environment} {image} -c aws -t {ami_id} {device} >> {logs}/inspection.log 2>&1"""


def user_data(ami_id: str) -> str:
    """Make the multipart text that lets an instance inspect the disk of an AMI, and then end."""
    document = MIMEMultipart(boundary=_BOUNDARY)
    document.attach(MIMEText(_CLOUD_CONFIG, "cloud-config", "us-ascii"))
    document.attach(MIMEText(_script(ami_id), "x-shellscript", "us-ascii"))
    return document.as_string()


def _script(ami_id: str) -> str:
    return _SCRIPT.format(
        deadline=DEADLINE, logs=LOGS, agent=json.dumps(_agent(ami_id), indent=1), run=_run(ami_id)
    )


def _run(ami_id: str) -> str:
    """Return the commands that run the inspector: ours, or as ever the old one (spec 13 §4)."""
    environment = {
        "AWS_DEFAULT_REGION": settings.AWS_DEFAULT_REGION,
        "RESULTS_BUCKET_NAME": settings.AWS_INSPECTION_BUCKET_NAME,
    }
    commands, image = _RUN_OURS, settings.AWS_INSPECTION_IMAGE
    if not image:
        commands = _RUN
        image = f"{settings.HOUNDIGRADE_ECS_IMAGE_NAME}:{settings.HOUNDIGRADE_ECS_IMAGE_TAG}"
        environment |= {
            "HOUNDIGRADE_SENTRY_DSN": settings.HOUNDIGRADE_SENTRY_DSN,
            "HOUNDIGRADE_SENTRY_RELEASE": settings.HOUNDIGRADE_SENTRY_RELEASE,
            "HOUNDIGRADE_SENTRY_ENVIRONMENT": settings.HOUNDIGRADE_SENTRY_ENVIRONMENT,
        }
    return commands.format(
        logs=LOGS,
        environment=" ".join(
            f"--env {shlex.quote(name + '=' + (value or ''))}"
            for name, value in environment.items()
        ),
        image=shlex.quote(image),
        ami_id=shlex.quote(ami_id),
        device=DEVICE,
    )


def _agent(ami_id: str) -> dict:
    def log(path: str, stream: str) -> dict:
        return {
            "file_path": path,
            "log_group_name": settings.AWS_INSPECTION_LOG_GROUP_NAME,
            "log_stream_name": f"{ami_id}-{stream}",
            "retention_in_days": settings.HOUNDIGRADE_CW_RETENTION_DAYS,
        }

    files = [log(f"{LOGS}/*", "inspection"), log("/var/log/messages", "system")]
    return {"logs": {"logs_collected": {"files": {"collect_list": files}}}}
