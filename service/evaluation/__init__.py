"""How much of the node's work survived the clinic: structure sets that came back, compared with ours."""
