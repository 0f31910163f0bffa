"""Machines at cloud providers: what is wanted, what is there. The controller's own; nothing of it goes to a host."""
