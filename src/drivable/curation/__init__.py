"""What is done to a data set before anything is trained on it: check, convert, pack, fetch, split."""
