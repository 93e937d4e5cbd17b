"""What the providers that run the stack on Kubernetes share: all of it goes through kubectl, in a named context."""
