"""The three study notes, line by line, with what the project shows for each line. Torch-free."""
