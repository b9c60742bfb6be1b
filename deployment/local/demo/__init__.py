"""A story of some customers, played locally through the product's own interfaces."""
