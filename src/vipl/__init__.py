"""Value-Implicit Pre-training: image encoders whose embedding distance is a reward."""

import sys
from typing import TYPE_CHECKING

from vipl._moved import MovedModules
from vipl._version import __version__
from vipl.lazy import public_names

if TYPE_CHECKING:
    from vipl.models import Encoder, load_encoder, save_encoder
    from vipl.rewards import GoalReward

sys.meta_path.append(MovedModules())

# Imported at first use: `import vipl` must not load torch.
_HOMES = {
    "Encoder": "vipl.models",
    "GoalReward": "vipl.rewards",
    "load_encoder": "vipl.models",
    "save_encoder": "vipl.models",
}

__all__ = ["Encoder", "GoalReward", "__version__", "load_encoder", "save_encoder"]

__getattr__, __dir__ = public_names(__name__, _HOMES)
