"""Where the modules of version 0.1 are now: who imports an old one reads its new name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

# (room then, room now, modules); "" is the package itself.
_ROOMS = (
    ("", "config", "explain keys paths"),
    ("", "models", "collapse finite"),
    ("", "processes", "allocator children llvm ranks ray_cluster signals"),
    ("", "rewards", "compare_curves curves label minari_files plots"),
    ("", "training", "callbacks fit fit_config module parallel settings watch"),
    ("bench", "training.bench", "command data kernels run step_timer verdict"),
    ("data", "data.checking", "bad_clips comparing leaks picture_faults presence"),
    (
        "data",
        "data.decoding",
        "containers decord_file frame_archive frame_folder pictures "
        "presentation probe pyav_file video",
    ),
    ("data", "data.decoding.display", "conversion tone_mapping"),
    ("data", "data.encoding", "formats transcode video_writer"),
    (
        "data",
        "data.loading",
        "closing_loader datamodule loading_failures samples sampling shared_memory video_inputs",
    ),
    ("data", "data.manifests", "manifest manifest_file splits text_files validation walk"),
    ("data", "data.preparing", "prepare"),
    ("data", "data.processes", "augment isolation"),
    ("data", "data.sources", "arguments recipes"),
    ("data.sources", "data.sources.ego4d", "json_stream"),
    (
        "evaluation",
        "evaluation.protocols",
        "correlation embedding_cache gain minari_trajectories online_learning "
        "policy_learning trajopt",
    ),
    ("evaluation", "evaluation.reports", "pages report statistics"),
    (
        "evaluation",
        "evaluation.running",
        "command config encoders launchers progress provenance ray_launcher runner worker",
    ),
    ("evaluation", "evaluation.suites", "control control_cells registry"),
    (
        "evaluation.comparison",
        "evaluation.reports.comparison",
        "bounds command figures notes page rows runs statistics text",
    ),
    ("models", "publishing", "model_card run_record"),
    ("resume", "training.resuming", "files keeper metrics_file recipe run_folder"),
    ("shipped", "config", "arguments command"),
)
_RENAMED = {
    "bench": "training.bench",
    "evaluation.comparison": "evaluation.reports.comparison",
    "resume": "training.resuming",
    "shipped": "config.shipped",
    "data.check_command": "data.checking.command",
    "data.commands": "data.sources.command",
    "data.decoder_child": "data.processes.child",
    "data.decoder_pool": "data.processes.pool",
    "data.display": "data.decoding.display.properties",
    "data.prepare_command": "data.preparing.command",
    "data.sources.ego4d_files": "data.sources.ego4d.files",
    "data.sources.ego4d_rule": "data.sources.ego4d.rule",
    "data.sources.ego4d_videos": "data.sources.ego4d.videos",
    "data.sources.frame_tables": "data.sources.frames.tables",
    "data.sources.numbered_pictures": "data.sources.frames.numbered",
    "encoder_arguments": "cli.encoders",
    "evaluation.report_correlation": "evaluation.reports.correlation",
    "evaluation.report_data": "evaluation.reports.data",
    "evaluation.report_learning": "evaluation.reports.learning",
    "evaluation.report_plots": "evaluation.reports.plots",
    "evaluation.report_samples": "evaluation.reports.samples",
    "evaluation.report_success": "evaluation.reports.success",
    "evaluation.report_traces": "evaluation.reports.traces",
    "evaluation.report_videos": "evaluation.reports.videos",
    "gym_render": "gym.rendering",
    "models.publish": "publishing.command",
    "shipped.names": "config.shipped",
}


def _moved() -> dict[str, str]:
    """Return the name now, by the name then."""
    pairs = [
        (_name(then, one), _name(now, one)) for then, now, ones in _ROOMS for one in ones.split()
    ]
    return dict(pairs) | {_name("", then): _name("", now) for then, now in _RENAMED.items()}


def _name(room: str, module: str) -> str:
    return ".".join(filter(None, ("vipl", room, module)))


class MovedModules:
    """Names a module's new place to who imports it by its old name; the last that is asked."""

    def __init__(self) -> None:
        self._moved: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return None.

        Raises:
            ModuleNotFoundError: If the module has moved.
        """
        if not fullname.startswith("vipl."):
            return None
        self._moved = self._moved or _moved()
        if fullname in self._moved:
            raise ModuleNotFoundError(
                f"{fullname} is now {self._moved[fullname]}: import it from there", name=fullname
            )
        return None
