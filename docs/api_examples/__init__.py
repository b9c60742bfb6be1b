"""Writes docs/rest-api-examples.rst from what the APIs really answer (spec 08 §18)."""
