"""What channels have beside posts: discussion groups, comments, and figures of how posts were received."""
