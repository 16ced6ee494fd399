"""What this host must look like."""
