"""The chain side of Lattice: watches jobs, decides which to take, sends answers, collects pay.

Open these first:

- `services/serve.py`: one job, one screen.
- `services/provider.py`: the loop around it.
- `chain/listener.py` and `chain/submitter.py`: how jobs come in and how answers go out.
"""
