"""The yaml files that users write, read strictly and with line numbers, before Hydra composes them.

Hydra's own reader hangs on anchors that multiply, and says of other mistakes neither the file nor the line.
"""

from pathlib import Path
from typing import Any

import yaml
from hydra.plugins.config_source import ConfigSource

from pipeline.cli.groups import shown
from pipeline.errors import UserError

MOST_BYTES, MOST_VALUES = 200_000, 20_000
"""Of a file, the latter with its aliases written out."""
PLAIN = {"map", "seq", "str", "int", "float", "bool", "null", "timestamp", "merge", "value"}
"""Types of YAML that need no tag."""


class FileMapping(dict[str, Any]):
    """A mapping of a file, and where each of its keys stands: `conf/sweep/mine.yaml, line 3: `."""

    def __init__(self) -> None:
        super().__init__()
        self.where: dict[str, str] = {}


class FileList(list[Any]):
    """A list of a file, and where each of its items stands."""

    def __init__(self) -> None:
        super().__init__()
        self.where: list[str] = []


def read_user_file(path: Path, package: str | None) -> FileMapping:
    """The file's content, in which each mapping and list knows its lines.

    Args:
        package: what the line `# @package ...` above it must name; None where no such line may be.

    Raises:
        UserError: it is not YAML that holds one mapping of plain values, in one line that names file and line.
    """
    name = shown(path)
    text = _text(path, name)
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = FileMapping() if node is None else _Builder(name).build(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        problem = str(error.problem or error.context or "it is not YAML").replace("\t", "\\t")
        raise UserError(f"{name}{line}: {problem}: expected YAML, as KEY: VALUE") from error
    except yaml.reader.ReaderError as error:
        number = text.count("\n", 0, error.position) + 1
        raise UserError(
            f"{name}, line {number}: it holds the control character #x{ord(text[error.position]):02x}"
        ) from error
    except (RecursionError, ValueError) as error:
        raise UserError(f"{name}: it is nested too deeply, or holds a number that cannot be read") from error
    if not isinstance(content, FileMapping):
        raise UserError(f"{name}: it holds {_kind(content)}: expected settings, as seed: 1")
    _check_package(text, package, name)
    return content


def _text(path: Path, name: str) -> str:
    if not path.is_file():
        raise UserError(f"{name} is not a file: expected YAML, as seed: 1")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise UserError(f"{name} is larger than {MOST_BYTES:,} bytes")
    if content.startswith(b"\xef\xbb\xbf"):
        raise UserError(f"{name}, line 1: it begins with a byte-order mark: save it as UTF-8 without one")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{name}, line {line}: it holds the byte 0x{content[error.start]:02x}, which is not UTF-8"
        ) from error


def _check_package(text: str, package: str | None, name: str) -> None:
    try:
        found = ConfigSource._get_header_dict(text[:512])["package"]
    except ValueError as error:
        raise UserError(f"{name}, line 1: {error}: expected # @package {package or ''}".rstrip()) from error
    if package is None and found is not None:
        raise UserError(f"{name}: the line # @package {found} puts its settings elsewhere: remove it")
    if package is not None and found != package:
        raise UserError(f"{name}, line 1: expected # @package {package}, without which its settings are not used")


def _kind(content: Any) -> str:
    return "a list" if isinstance(content, list) else "one value"


class _Builder:
    """From YAML's nodes to values."""

    def __init__(self, name: str) -> None:
        self.name, self.values = name, 0
        self.construct = yaml.SafeLoader("").construct_object
        self._open: set[int] = set()

    def build(self, node: yaml.Node) -> Any:
        """A value; what aliases name is built at each of them."""
        self.values += 1
        if self.values > MOST_VALUES:
            raise UserError(f"{self._at(node)}it holds more than {MOST_VALUES:,} values (aliases written out)")
        if id(node) in self._open:
            raise UserError(f"{self._at(node)}an anchor holds itself")
        if node.tag.rpartition(":")[2] not in PLAIN or not node.tag.startswith("tag:yaml.org,2002:"):
            tag = node.tag.replace("tag:yaml.org,2002:", "!!")
            raise UserError(f"{self._at(node)}the tag {tag} is not accepted: expected plain values")
        self._open.add(id(node))
        try:
            return self._built(node)
        finally:
            self._open.remove(id(node))

    def _built(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            built = FileList()
            for item in node.value:
                built.append(self.build(item))
                built.where.append(self._at(item))
            return built
        return self.construct(node)

    def _mapping(self, node: yaml.MappingNode) -> FileMapping:
        built, merged = FileMapping(), FileMapping()
        for key_node, value in node.value:
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else ""
            if key_node.tag == "tag:yaml.org,2002:merge":
                self._merge(self.build(value), merged, key_node)
                continue
            if key_node.tag != "tag:yaml.org,2002:str" or not key:
                raise UserError(f"{self._at(key_node)}{key or 'this key'} is not the key of a setting: expected a word")
            if key in built:
                raise UserError(f"{self._at(key_node)}{key} is given twice: give it once")
            built[key], built.where[key] = self.build(value), self._at(key_node)
        for key in merged.keys() - built.keys():
            built[key], built.where[key] = merged[key], merged.where[key]
        return built

    def _merge(self, found: Any, into: FileMapping, node: yaml.Node) -> None:
        for part in found if isinstance(found, FileList) else [found]:
            if not isinstance(part, FileMapping):
                raise UserError(f"{self._at(node)}<< expects a mapping")
            for key in part.keys() - into.keys():
                into[key], into.where[key] = part[key], part.where[key]

    def _at(self, node: yaml.Node) -> str:
        return f"{self.name}, line {node.start_mark.line + 1}: "
