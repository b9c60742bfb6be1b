"""A story of some customers, played on the local world through the product's own interfaces."""
