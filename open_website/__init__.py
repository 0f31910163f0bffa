"""Open a page in the client's browser and tell how it came: what scripts/open_website runs."""
