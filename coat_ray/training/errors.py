"""How training ends when it cannot go on."""


class TrainingStoppedError(RuntimeError):
    """An error that would come again: a row that cannot be read, a loss that is not finite, workers that keep dying."""
