"""The forwarder: one per host that carries traffic."""
