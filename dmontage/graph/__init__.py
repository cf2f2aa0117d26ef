"""Graphs: dask lives here, and nowhere below.

A task reads, calls its body (a plain function on plain arrays), writes, and returns a small receipt. `drive` runs a set
of tasks: on threads of this process, or on the dask client that is active, which `cluster` knows from the driver's side
and `worker` from the other; `ready` asks workers what they have before any work. Tasks carry row numbers, never headers
or pixels; they are idempotent, and each stored row or chunk has one owning task.

`rows` fills the store, by `project`, which has two ways for a `job`: `on_plane` and `on_sky`. `overlaps` fits; `coadd`
makes chunks, by `combine` and `stacked`, and writes them into files by `outlet`; `shares` and `sources` tell what
images have in them, `verify` makes them again. `lazy` and `image` are the same as dask arrays, of which `reduce` makes
small values, and `shrunk` small images.
"""
