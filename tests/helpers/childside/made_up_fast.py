"""The same as `made_up`, ten times as fast."""

import made_up


class Backend(made_up.Backend):
    """0.3 ms a run."""

    name, pause_s = "made-up-fast", 0.0003
