"""Hydra plugin: a user's own conf/ is searched too, after ours, so that `sweep=mine` finds ./conf/sweep/mine.yaml."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from pipeline.storage.places import CONF_FOLDERS


class OwnConf(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in CONF_FOLDERS[1:]:
            if folder.is_dir():
                search_path.append("own", f"file://{folder}")
