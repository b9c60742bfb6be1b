"""Screenshots of the console's pages, made of the demo's data (spec 12 §1, acceptance 10)."""
