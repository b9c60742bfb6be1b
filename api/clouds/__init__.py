"""The public clouds, one package each; ``provider`` is the only way to them."""
