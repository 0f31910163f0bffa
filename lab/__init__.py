"""The lab: five machines of podman's on one bridge that plays the Internet. Standard library only, Python >= 3.9."""
