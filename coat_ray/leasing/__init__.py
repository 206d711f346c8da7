"""What a run needs of the cluster, and the lease that it holds while it runs."""
