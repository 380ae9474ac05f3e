"""What a Monitor is made of."""
