"""Imported last by the process that `refrain` is forked from: no fork looks through what all of them share."""

import gc

gc.collect()
gc.freeze()
