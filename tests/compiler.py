"""What tests ask of XLA's compiler, in this process and in those that they start."""

from importlib.metadata import version

# the older emitters compile two to three times as fast as those that XLA would take; where they are gone, so is the
# flag, and XLA ends a process that has a flag that it does not know
SOONER = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else ""
