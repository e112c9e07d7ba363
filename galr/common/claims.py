"""How much a file may claim to hold, whatever packs it."""

# deflate packs zeros nearly so many times
MOST_PACKED = 1500
# bytes; below it any claim is harmless
HARMLESS = 64_000_000
