"""The operating system's side: processes, signals, memory, and what processes tell each other."""
