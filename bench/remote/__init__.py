"""What runs on the lab's machines, sent there as text: each file by itself, with Python's standard library only."""
