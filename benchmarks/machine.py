"""What a benchmark ran on."""

import os
import platform


def machine() -> str:
    """Return the processor, and the GPU where there is one."""
    import torch  # after the caller has set how its threads wait

    processor = f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    return (
        f"{torch.cuda.get_device_name()}, {processor}" if torch.cuda.is_available() else processor
    )
