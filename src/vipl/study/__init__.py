"""Studies: encoders that are trained and evaluated alike, and a page of what came out."""
