"""What is true: pure rules. No clock, file, network or database; `now` is an argument."""
