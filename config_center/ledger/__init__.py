"""The verified history of every namespace, and its only writers."""
