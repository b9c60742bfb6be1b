"""The public REST API, version 2 (spec 01)."""
