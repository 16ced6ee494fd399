"""Objects of a Kubernetes API server: the only package that imports its client."""
