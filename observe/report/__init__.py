"""From a directory of captures to one page: what each observer saw."""
