"""What is needed to run the program: the local stack, and the recipes for the cloud."""
