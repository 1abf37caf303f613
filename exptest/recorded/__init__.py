"""Recorded curves: what other programs' logs hold, and the decisions ExpTest would have taken."""

from exptest.recorded.decisions import read_losses, replay
from exptest.recorded.log import Log, LogFile, open_log, read_log

__all__ = ["Log", "LogFile", "open_log", "read_log", "read_losses", "replay"]
