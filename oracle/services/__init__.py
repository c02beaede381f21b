"""What runs: `serve` takes one job a step further, `keeper` refunds and claims, `provider` is the loop around both."""
