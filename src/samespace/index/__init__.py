"""What lies in a folder, what of it is known, and where its vectors are kept."""
