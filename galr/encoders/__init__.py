"""Networks and weights of other libraries, brought to the shapes that the model reads."""
