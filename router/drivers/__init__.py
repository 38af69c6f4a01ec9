"""The protocol on real sockets: blocking threads for the library, an event loop for the router. Floor 5."""
