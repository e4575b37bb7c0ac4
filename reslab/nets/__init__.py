"""What a network is: a frozen `Spec`, its `plan`, and everything derived from the plan."""
