"""What one core serves of datagrams, and what is left of it under a flood of garbage."""
