"""What concerns the CA: the department of an order, its server and account, and the CA's errors."""
