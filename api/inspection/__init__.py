"""Life of an image's inspection: how it starts, and what its result means."""
