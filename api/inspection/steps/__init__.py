"""Steps of an inspection: ``copy``, then ``launch`` or ``direct``, then ``release``."""
