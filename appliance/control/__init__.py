"""The local control socket: HTTP and JSON on a unix socket."""
