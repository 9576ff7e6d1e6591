"""`vipl embed`: whole data sets through a frozen encoder."""
