"""What operators and programs write: kinds and their fields, labels, addresses, and their form as text."""
