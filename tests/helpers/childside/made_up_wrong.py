"""Faster than the other two, and wrong."""

import made_up


class Backend(made_up.Backend):
    """No pause, and the numbers are turned round."""

    name, pause_s = "made-up-wrong", 0.0

    def run(self, inputs):
        """Return twice the rows, each backwards."""
        return {"y": super().run(inputs)["y"][:, ::-1].copy()}
