"""
Fuzzing: bytes that no client sends, into everything that reads bytes. `scripts/fuzz --help` tells how to run it.

    targets      what is fuzzed: one function of bytes per reader
    mutations    how inputs are made without coverage guidance
    engine       runs one target in a process of its own; with atheris it is guided by coverage
    instrumentation  what atheris needs to see of the readers
    live_broker  the same for a running broker, through its socket
    command      the command line
"""
