"""What every part uses: errors, files, devices, processes, ranks, the command line."""
