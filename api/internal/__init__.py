"""The internal API: everything below ``/internal/`` (spec 02)."""
