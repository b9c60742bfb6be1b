"""Documents, and the programs that write the generated ones."""
