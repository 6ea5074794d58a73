"""What a node is: share links and subscriptions become nodes, and one fleet. Pure."""
