"""The stack as processes of this user on this machine, without a container engine."""
