"""The public clouds, one package each behind the door of ``provider``."""
