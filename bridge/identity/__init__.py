"""Who embeds the messenger, and whose people these are: products, their keys, their people."""
