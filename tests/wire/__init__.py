"""Client tests over real sockets: what the server receives and what the caller sees, sync and async."""
