"""Which Service holds which address."""
