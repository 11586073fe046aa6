"""The whole cloud as its enemies see it: bad input on every route, and every caller on every operation."""
