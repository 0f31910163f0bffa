"""What runs on the hosts, sent there as text: each file by itself, Python 3.9 and its standard library only."""
