"""Life of customers and of their cloud accounts."""
