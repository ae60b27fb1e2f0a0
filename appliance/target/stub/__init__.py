"""What runs on the target: the measuring stub and the loader, their sources and the blobs built from them."""
