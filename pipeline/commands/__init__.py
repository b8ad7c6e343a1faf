"""The commands of ``pipeline``, a file a group. Anything heavy is imported inside a command."""
