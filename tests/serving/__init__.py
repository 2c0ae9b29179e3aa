"""The REST service, over real sockets."""
