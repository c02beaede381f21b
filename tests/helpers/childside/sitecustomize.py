"""Python runs this at its start where this folder is on its path: adds the made-up backends of the tests."""

from offchain_worker import backends, hardware

NAMES = ("made-up", "made-up-fast", "made-up-wrong")

for name in NAMES:
    backends.BACKENDS[name] = f"{name.replace('-', '_')}"
    hardware._DEVICES[name] = ("cpu",)
backends.FORMATS["made-up"] = NAMES
