"""The product: from events in the clouds to daily usage of RHEL."""
