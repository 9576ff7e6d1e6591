"""What a cell does: planning, learning a policy, learning by acting, correlation, gain."""
