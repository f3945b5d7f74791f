"""What a disk that fails once leaves of a fetch and of a publish, as figures. Run by scripts/disk-faults."""
