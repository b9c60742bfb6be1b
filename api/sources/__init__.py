"""The platform's sources service: what it tells us, and what we tell it."""
