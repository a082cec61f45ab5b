"""Hydra plugin: `setting_defaults` in conf/config.yaml is every setting at the default of its dataclass.

Hydra scans this module at every start: whatever is slow to import is imported late.
"""

from hydra.core.config_store import ConfigStore

from pipeline.config.defaults import NAME, default_tree

ConfigStore.instance().store(name=NAME, node=default_tree(), provider="pipeline")
