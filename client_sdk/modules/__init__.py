"""Live modules: built, proven, shared by content, and let go after their last user."""
