"""What plugins of Ansible share, which find each other only by their names."""
