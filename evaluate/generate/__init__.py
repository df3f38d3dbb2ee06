"""How near generated sounds come to real ones, and how well a prior fills gaps."""
