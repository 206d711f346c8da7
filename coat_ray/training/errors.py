"""How training ends when it cannot go on."""


class TrainingStoppedError(RuntimeError):
    """An error that would come again: a row that cannot be read, a loss that is not finite, workers that keep dying."""


class TrainingYieldedError(RuntimeError):
    """Training gave way when it was asked to: a checkpoint is written, and the next call continues from it."""
