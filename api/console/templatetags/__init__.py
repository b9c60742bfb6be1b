"""What the console's templates can call."""
