"""Ways of making batches that are measured side by side; each module runs as a process, in an environment of its own.

``NAME.txt`` says what is installed for ``NAME.py``; without one it runs in the environment of the benchmarks. Modules
that have one import nothing of ours but `rounds`, `task` and `bare`.
"""
