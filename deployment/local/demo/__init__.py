"""A story of two customers, played on the local world through the product's own doors."""
