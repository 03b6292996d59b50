"""What a center does about secrets beside sealing them at the door: keys, shredding, lint."""
