"""Amazon Web Services: roles, trails, logs, instances and their types (spec 04)."""
