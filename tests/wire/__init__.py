"""The client on the wire: what arrives at a server of raw sockets, and what the caller sees, in both flavours."""
