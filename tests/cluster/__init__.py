"""What Kubernetes itself makes of Pierhead: a real API server."""
