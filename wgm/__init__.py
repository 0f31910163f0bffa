"""The front door: the playbooks with a screen and a log of each run. What scripts/wgm runs."""
