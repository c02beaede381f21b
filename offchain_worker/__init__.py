"""The compute side of Lattice: `Job` in, `Result` out. Fetch the model, run it, make the proof.

Nothing here knows a chain, an address book or a key. Open these first:

- `job.py`: what comes in and what goes out.
- `worker.py`: the way from one to the other.
- `backends/reference.py`: the smallest backend, which is the specification of the others.

This file imports nothing, so that `import offchain_worker` is instant on a machine without any runtime.
"""
