"""Ray on this machine alone: a private cluster, one job on it, or the whole platform."""
