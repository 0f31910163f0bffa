"""The lab: five machines on one bridge that plays the Internet, podman's containers or most of them virtual machines.

Standard library only, Python >= 3.9.
"""
