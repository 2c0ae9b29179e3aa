"""How good a trained model is, on what it had not seen: figures for a person to judge by."""
