"""Graphs: dask lives here, and nowhere below.

Each file holds a task body (a plain function on plain arrays) and the task (reads, calls the body, writes, returns a
small receipt). `drive` runs a set of tasks: on threads of this process, or on the dask client that is active.
Tasks carry row numbers, never headers or pixels; they are idempotent, and each stored chunk has one owning task.
"""
