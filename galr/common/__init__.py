"""Shared by all packages: errors, files, devices, processes, ranks, the command line."""
