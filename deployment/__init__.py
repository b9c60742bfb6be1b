"""What deploys cloudigrade: manifests, playbooks, dashboards, and the local environment."""
