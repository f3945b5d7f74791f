"""The running node's local interface over a Unix socket, and its client. Never listens on TCP."""
