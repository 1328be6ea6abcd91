"""On the PYTHONPATH of the certbots that the lab runs: what the package warns of is an error."""

import warnings

warnings.filterwarnings("error", module=r"certbot_tcs_lyon1(\.|$)")
