"""What the SDK and the local agent cost, beside what they are compared with."""
