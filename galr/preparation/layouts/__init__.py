"""The layouts that captions come in, each read as a stream of rows."""
