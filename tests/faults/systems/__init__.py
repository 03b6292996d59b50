"""What is put under a fault: ours, or one that is broken on purpose; the judges are the same."""
