"""What a node is: share links in, share links out. Pure."""
