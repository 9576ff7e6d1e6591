"""What is read of records afterwards: statistics, the page and its parts, comparison."""
