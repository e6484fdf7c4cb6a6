"""What lasts: the log and the applied state on LMDB, and the small files and the shared page around them."""
