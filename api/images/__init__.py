"""What we know of machine images, and what follows when we learn more."""
