"""One data set a file: from its own annotations to the rows of a manifest."""
