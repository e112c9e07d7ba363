"""What the parts of a data set share: captions word for word, and images that look alike."""
