"""The images, and the digests of what they are made from."""
