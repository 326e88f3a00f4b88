"""Ships conf/ inside the package in a wheel; an editable installation uses the conf/ of the repository."""

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConfigurationHook(BuildHookInterface):
    """Adds conf/ to the wheel as sluice/conf."""

    def initialize(self, version, build_data):
        if version != "editable":
            build_data["force_include"]["conf"] = "sluice/conf"
