"""How the lab fails. Each kind leads to another exit code or another word in the report."""


class LabError(Exception):
    """A scenario failed: something did not happen, or what happened was wrong."""


class Expired(LabError):
    """A wait ended at its deadline. Says what was waited for and how long."""

    def __init__(self, what, seconds):
        super().__init__(f"{what}: not within {seconds:g} s")


class Skipped(Exception):
    """A scenario cannot run here. Says what is missing."""


class CannotRun(Exception):
    """The lab itself cannot run: a package is missing, a download failed, another run is active."""
