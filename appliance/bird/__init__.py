"""BIRD as text: its configuration and the replies of its control socket."""
