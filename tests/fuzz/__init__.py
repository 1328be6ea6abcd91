"""What others write, made up by Hypothesis: no exception but the family's, in bounded time, and no
secret in a message. `make fuzz` runs it, in a network namespace that has nothing but `lo`."""
