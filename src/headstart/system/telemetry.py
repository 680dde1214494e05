"""Switches off the usage reports of libraries. ``import headstart`` does so before any of them is imported.

Several libraries report their use to their makers when they are imported, and keep an identifier of the machine in the
home directory. Most of them document an environment variable that prevents both. OpenVINO documents only a file in the
home directory, which is the user's own, and works without its package for reports, so that package cannot be imported.
"""

import os
import sys
from typing import Any

SWITCHES = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "ORT_DISABLE_TELEMETRY": "1",  # ONNX Runtime; its function disable_telemetry_events is too late after the import
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_ERROR_REPORTING": "false",
}
"""Environment variable -> the value that prevents reports. A variable that the user has set keeps its value."""


def switch_off() -> None:
    """Prevent usage reports from this process and its child processes.

    Source:
        https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables,
        https://mlflow.org/docs/latest/community/usage-tracking,
        https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md,
        https://docs.ray.io/en/latest/cluster/usage-stats.html,
        https://docs.wandb.ai/guides/track/environment-variables,
        https://www.gradio.app/guides/environment-variables
    """
    for name, value in SWITCHES.items():
        os.environ.setdefault(name, value)
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # importing it raises ImportError, which OpenVINO expects
