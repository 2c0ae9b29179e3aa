"""The local stack, and the recipes for the cloud."""
