"""Runs Core ML programs (MIL) on any machine: `program.py` reads them, `operators.py` says what each operator does."""
