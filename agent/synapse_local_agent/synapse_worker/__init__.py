"""What runs in the processes of actions: a program of its own, with the standard library alone.

It is started with any Python that an action's environment has, so it imports nothing of the agent; the agent may import
it. `__main__` says how it is started and what it is sent.
"""
