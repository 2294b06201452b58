"""What the messenger keeps."""
