"""The worker program, which runs actions. It imports only the standard library.

It runs on the Python of the action's environment, so it cannot import the agent; the agent may import it. `__main__`
describes how it is started and its protocol.
"""
