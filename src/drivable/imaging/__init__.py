"""Image files, films and what is drawn on them, without a model."""
