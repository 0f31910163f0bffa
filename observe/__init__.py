"""What is seen from the controller: captures of the hosts, the live view, and the report."""
