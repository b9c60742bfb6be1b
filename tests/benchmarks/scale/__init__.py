"""How what the product does grows with what it stores (spec 15 §2.1): ``make bench-scale``."""
