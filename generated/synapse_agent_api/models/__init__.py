"""Contains all the data models used in inputs/outputs"""

from .create_plugin_release_request import CreatePluginReleaseRequest
from .error import Error
from .error_detail_type_2 import ErrorDetailType2
from .health import Health
from .list_plugin_releases_filters import ListPluginReleasesFilters
from .plugin_release import PluginRelease
from .plugin_release_config import PluginReleaseConfig
from .plugin_release_page import PluginReleasePage
from .run_debug_plugin_release_request import RunDebugPluginReleaseRequest
from .run_debug_plugin_release_request_config import RunDebugPluginReleaseRequestConfig
from .run_debug_plugin_release_request_modules import (
    RunDebugPluginReleaseRequestModules,
)
from .run_debug_plugin_release_request_params import RunDebugPluginReleaseRequestParams
from .run_plugin_release_request import RunPluginReleaseRequest
from .run_plugin_release_request_params import RunPluginReleaseRequestParams
from .validation_issue import ValidationIssue

__all__ = (
    "CreatePluginReleaseRequest",
    "Error",
    "ErrorDetailType2",
    "Health",
    "ListPluginReleasesFilters",
    "PluginRelease",
    "PluginReleaseConfig",
    "PluginReleasePage",
    "RunDebugPluginReleaseRequest",
    "RunDebugPluginReleaseRequestConfig",
    "RunDebugPluginReleaseRequestModules",
    "RunDebugPluginReleaseRequestParams",
    "RunPluginReleaseRequest",
    "RunPluginReleaseRequestParams",
    "ValidationIssue",
)
