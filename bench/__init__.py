"""The benchmarks behind `make bench`: one run on the lab's machines, ours beside what it is compared with."""
